//! What an ECI error means for us: one table from `Code` to class and remedy.
//!
//! The class drives everything that follows: whether a pod waits or is refused, whether the client tries again, which
//! reason an Event carries and which label a metric. ECI's HTTP statuses are no guide (`Throttling` comes with 400,
//! "out of stock" with 403), so the code decides and the status only speaks for codes nobody has seen yet.

/// What kind of trouble an error is. See [`classify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorClass {
    /// This request can never succeed as it is: a parameter, a combination or a feature is refused.
    Permanent,
    /// ECI has no room: stock, quota or addresses. Another zone or size may work, or the same one later.
    Stock,
    /// Too many calls. Slow down, then the same request again.
    Throttle,
    /// The account or its credentials are refused (key, signature, clock, permission, arrears). No request of this
    /// account succeeds until an operator acts, and no pod is to blame.
    Credentials,
    /// A passing failure that had no effect. The same request again.
    Transient,
    /// The request may or may not have taken effect. Only safe to repeat because creates carry a ClientToken.
    UnknownOutcome,
    /// The named object is not there. For a delete that is success.
    NotFound,
    /// A request with the same ClientToken was accepted before: look for its group instead of creating one.
    AlreadyAccepted,
    /// The dry run found nothing wrong (ECI reports this as an error).
    DryRunOk,
}

impl ErrorClass {
    /// Every class, in the order of declaration: for metrics that want all label values from the start.
    pub const ALL: [Self; 9] = [
        Self::Permanent,
        Self::Stock,
        Self::Throttle,
        Self::Credentials,
        Self::Transient,
        Self::UnknownOutcome,
        Self::NotFound,
        Self::AlreadyAccepted,
        Self::DryRunOk,
    ];

    /// Reason of the Kubernetes Event that tells of it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Permanent => "CreateRefused",
            Self::Stock => "InsufficientCapacity",
            Self::Throttle => "CloudThrottled",
            Self::Credentials => "CloudAccountRefused",
            Self::Transient => "CloudUnavailable",
            Self::UnknownOutcome => "CloudOutcomeUnknown",
            Self::NotFound => "ContainerGroupNotFound",
            Self::AlreadyAccepted => "CreateAlreadyAccepted",
            Self::DryRunOk => "DryRunPassed",
        }
    }

    /// Label value in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Stock => "stock",
            Self::Throttle => "throttle",
            Self::Credentials => "credentials",
            Self::Transient => "transient",
            Self::UnknownOutcome => "unknown_outcome",
            Self::NotFound => "not_found",
            Self::AlreadyAccepted => "already_accepted",
            Self::DryRunOk => "dry_run_ok",
        }
    }
}

/// What a client may do about an error before it gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Remedy {
    /// Nothing: report it.
    None,
    /// Wait with exponential back-off, sign anew (new nonce, new date) and send the same parameters.
    BackOff,
    /// As [`Self::BackOff`], with a short constant delay: the first request is still being worked on.
    ShortDelay,
    /// Correct the clock by the answer's `Date`, then once more.
    FixClock,
    /// Fetch fresh credentials, then once more (pointless for a static key).
    RefreshCredentials,
}

/// Class and remedy of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// What it means.
    pub class: ErrorClass,
    /// What may be done at once.
    pub remedy: Remedy,
}

/// The class of an error with this `Code` (empty if the answer had none) and HTTP status.
///
/// `*NotFound*` codes that are not in the table, and 404 without a known code, are [`ErrorClass::NotFound`]. A caller
/// whose request names no group of its own (a create) must read that as permanent: some *parameter* does not exist.
pub fn classify(code: &str, http_status: u16) -> ErrorClass {
    verdict(code, http_status).class
}

/// Reason of the Event and condition on a pod whose group is refused with this `Code`: the word that users of ACK know, where
/// there is one, else [`ErrorClass::reason`].
pub fn reason(code: &str, class: ErrorClass) -> &'static str {
    match code {
        "OperationDenied.NoStock" | "Spot.NotMatched" | "RecommendEmpty.InstanceTypeFamilyNotMatched" => "NoStock",
        "Zone.NotOnSale" => "StockClose",
        "InvalidVSwitchId.IpNotEnough" => "FailedScheduling",
        "Throttling.Vcpu.PerDay" => "QuotaExceeded",
        _ if code == "QuotaExceeded" || code.starts_with("QuotaExceeded.") => "QuotaExceeded",
        _ if code == "Account.Arrearage" || code.ends_with("InsufficientBalance") => "InsufficientBalance",
        "UnknownError" => "UnknownError",
        _ if class == ErrorClass::Throttle => "Throttling",
        _ => class.reason(),
    }
}

/// Class and remedy of an error with this `Code` (empty if the answer had none) and HTTP status.
pub fn verdict(code: &str, http_status: u16) -> Verdict {
    if let Ok(at) = EXACT.binary_search_by(|(name, ..)| (*name).cmp(code)) {
        return row(EXACT[at].1);
    }
    if let Some((_, kind)) = PREFIXES.iter().find(|(prefix, _)| code.starts_with(prefix)) {
        return row(*kind);
    }
    if code.contains("NotFound") {
        return row(Kind::NotFound);
    }
    by_status(code, http_status)
}

fn by_status(code: &str, http_status: u16) -> Verdict {
    row(match http_status {
        404 => Kind::NotFound,
        // The server did not get the whole request, or somebody else holds the object.
        408 | 409 => Kind::Transient,
        429 => Kind::Throttle,
        401 => Kind::Account,
        // Without a code it is not ECI that speaks but something before it, which refuses the caller as such.
        403 if code.is_empty() => Kind::Account,
        503 => Kind::Transient,
        500..=599 => Kind::Unknown,
        _ => Kind::Permanent,
    })
}

/// Rows of the table share a handful of meanings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Permanent,
    Stock,
    Throttle,
    Account,
    Clock,
    StaleCredentials,
    Transient,
    Unknown,
    NotFound,
    TokenMismatch,
    TokenBusy,
    DryRun,
}

fn row(kind: Kind) -> Verdict {
    let (class, remedy) = match kind {
        Kind::Permanent => (ErrorClass::Permanent, Remedy::None),
        Kind::Stock => (ErrorClass::Stock, Remedy::None),
        Kind::Throttle => (ErrorClass::Throttle, Remedy::BackOff),
        Kind::Account => (ErrorClass::Credentials, Remedy::None),
        Kind::Clock => (ErrorClass::Credentials, Remedy::FixClock),
        Kind::StaleCredentials => (ErrorClass::Credentials, Remedy::RefreshCredentials),
        Kind::Transient => (ErrorClass::Transient, Remedy::BackOff),
        Kind::Unknown => (ErrorClass::UnknownOutcome, Remedy::BackOff),
        Kind::NotFound => (ErrorClass::NotFound, Remedy::None),
        Kind::TokenMismatch => (ErrorClass::AlreadyAccepted, Remedy::None),
        Kind::TokenBusy => (ErrorClass::AlreadyAccepted, Remedy::ShortDelay),
        Kind::DryRun => (ErrorClass::DryRunOk, Remedy::None),
    };
    Verdict { class, remedy }
}

/// Known codes, sorted bytewise (a test holds it to that).
const EXACT: &[(&str, Kind)] = &[
    ("Account.Arrearage", Kind::Account),
    ("CreateServiceLinkedRole.Denied", Kind::Account),
    ("DiskNumber.LimitExceed", Kind::Permanent),
    ("DiskVolume.NotInSameZone", Kind::Permanent),
    ("DiskVolume.NotSupport", Kind::Permanent),
    ("DryRun.Success", Kind::DryRun),
    ("DryRunOperation", Kind::DryRun),
    ("EipPayInsufficientBalance", Kind::Account),
    ("EipPurchaseFlowControl", Kind::Throttle),
    ("FeatureAccessRestricted", Kind::Permanent),
    ("FeatureBasedConstraintConflict", Kind::Permanent),
    ("Forbidden", Kind::Account),
    ("Forbidden.AccessKeyDisabled", Kind::Account),
    ("Forbidden.AccountClosed", Kind::Account),
    ("Forbidden.NotSupportRAM", Kind::Account),
    // Invitation is per feature, so it is the request that asks for too much.
    ("Forbidden.OnlyForInvitedTest", Kind::Permanent),
    ("Forbidden.RAM", Kind::Account),
    ("Forbidden.RiskControl", Kind::Account),
    ("Forbidden.SubUser", Kind::Account),
    ("Forbidden.UserBussinessStatus", Kind::Account),
    ("Forbidden.UserNotRealNameAuthentication", Kind::Account),
    ("HighCpuMemConfigRequired", Kind::Permanent),
    ("IdempotentParameterMismatch", Kind::TokenMismatch),
    ("IllegalTimestamp", Kind::Clock),
    ("ImageSnapshot.IncorrectStatus", Kind::Permanent),
    ("ImageSnapshot.NotFound", Kind::Permanent),
    ("ImageSnapshot.NotSupport", Kind::Permanent),
    ("IncompleteSignature", Kind::Account),
    ("IncorrectOperation", Kind::Permanent),
    ("IncorrectStatus", Kind::Permanent),
    ("InstanceTypeNotMatchCpuArch", Kind::Permanent),
    ("InternalError", Kind::Unknown),
    ("InvalidAccessKeyId.Inactive", Kind::StaleCredentials),
    ("InvalidAccessKeyId.NotFound", Kind::StaleCredentials),
    ("InvalidAction.NotFound", Kind::Permanent),
    ("InvalidDiskId.NotFound", Kind::Permanent),
    ("InvalidIdempotenceParameter.Mismatch", Kind::TokenMismatch),
    ("InvalidInstanceTypeForEciBuy", Kind::Permanent),
    ("InvalidInstanceTypeForEciSpotDurationBuy", Kind::Permanent),
    ("InvalidInstanceTypeForRaid", Kind::Permanent),
    ("InvalidOperation.KMS.InstanceTypeNotSupport", Kind::Permanent),
    ("InvalidOperation.ResourceManagedByCloudProduct", Kind::Permanent),
    ("InvalidParam.CpuOrMemorySpec", Kind::Permanent),
    ("InvalidParameter", Kind::Permanent),
    ("InvalidPaymentMethod.InsufficientBalance", Kind::Account),
    ("InvalidSecurityToken.Expired", Kind::StaleCredentials),
    ("InvalidSecurityToken.Malformed", Kind::StaleCredentials),
    ("InvalidSecurityToken.MismatchWithAccessKey", Kind::StaleCredentials),
    ("InvalidSpotCpuMemorySpec", Kind::Permanent),
    ("InvalidTimeStamp.Expired", Kind::Clock),
    ("InvalidTimeStamp.Format", Kind::Clock),
    // RAM: the caller may not pass this role; the request names it.
    ("InvalidUser.PassRoleForbidden", Kind::Permanent),
    ("InvalidVSwitchId.IpNotEnough", Kind::Stock),
    ("InvalidVersion", Kind::Permanent),
    ("Ipv6AddressNotSupport", Kind::Permanent),
    ("Ipv6AddressNotSupportInstanceType", Kind::Permanent),
    ("Ipv6AddressNotSupportVsw", Kind::Permanent),
    ("LastTokenProcessing", Kind::TokenBusy),
    ("LocalDiskAmountNotMatch", Kind::Permanent),
    ("MissingAction", Kind::Permanent),
    ("MissingParameter", Kind::Permanent),
    ("MultiAttachedCloudDiskNotSupport", Kind::Permanent),
    ("NoPermission", Kind::Account),
    ("NoPermission.Tag", Kind::Account),
    ("NoSuchVersion", Kind::Permanent),
    ("NumberExceed.Tags", Kind::Permanent),
    ("OperationConflict", Kind::Transient),
    ("OperationDenied.NoStock", Kind::Stock),
    ("OperationDenied.SecurityGroupMisMatch", Kind::Permanent),
    ("OperationDenied.VswZoneMisMatch", Kind::Permanent),
    ("OperationFailed.RiskControl", Kind::Account),
    ("Payfor.CreditPayInsufficientBalance", Kind::Account),
    ("PrivateIpAddress.Already.InUse", Kind::Permanent),
    ("PrivatePoolInstanceSpotNotSupport", Kind::Permanent),
    ("QuotaExceeded", Kind::Stock),
    ("RISK.RISK_CONTROL_REJECTION", Kind::Account),
    ("RamRole.NotSupport", Kind::Permanent),
    ("RecommendEmpty.InstanceTypeFamilyNotMatched", Kind::Stock),
    ("RegionDissolved", Kind::Permanent),
    ("SecurityRisk.3DVerification", Kind::Account),
    ("ServiceNotEnabled", Kind::Account),
    ("ServiceUnAvailable", Kind::Transient),
    ("ServiceUnavailable", Kind::Transient),
    ("ServiceUnavailable.RegionMaintaining", Kind::Transient),
    ("SignatureDoesNotMatch", Kind::Account),
    // Signing anew brings a new nonce.
    ("SignatureNonceUsed", Kind::Transient),
    ("Spot.NotMatched", Kind::Stock),
    ("Throttling", Kind::Throttle),
    ("Throttling.Api", Kind::Throttle),
    ("Throttling.User", Kind::Throttle),
    // A quota of vCPUs a day, not of calls: slowing down does not help today.
    ("Throttling.Vcpu.PerDay", Kind::Stock),
    ("TradeBidCommodityNotMatch", Kind::Permanent),
    ("UnknownError", Kind::Unknown),
    ("UnsupportedHTTPMethod", Kind::Permanent),
    ("UnsupportedParameter", Kind::Permanent),
    ("Zone.NotOnSale", Kind::Stock),
];

/// Families of codes of which only some members are documented.
const PREFIXES: &[(&str, Kind)] = &[
    ("Forbidden.", Kind::Account),
    ("InvalidAccessKeyId", Kind::StaleCredentials),
    ("InvalidParameter.", Kind::Permanent),
    ("InvalidSecurityToken", Kind::StaleCredentials),
    ("InvalidTimeStamp", Kind::Clock),
    ("JobInstance", Kind::Permanent),
    ("NoPermission", Kind::Account),
    ("QuotaExceeded.", Kind::Stock),
    ("ServiceUnavailable.", Kind::Transient),
    ("Throttling.", Kind::Throttle),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_without_doubles() {
        assert!(
            EXACT.windows(2).all(|w| w[0].0 < w[1].0),
            "binary search needs a sorted table"
        );
    }

    #[test]
    fn the_code_speaks_before_the_status() {
        for (code, status, class) in [
            ("Throttling", 400, ErrorClass::Throttle),
            ("Throttling.User", 503, ErrorClass::Throttle),
            ("Throttling.Something", 400, ErrorClass::Throttle),
            ("Throttling.Vcpu.PerDay", 403, ErrorClass::Stock),
            ("OperationDenied.NoStock", 403, ErrorClass::Stock),
            ("QuotaExceeded", 403, ErrorClass::Stock),
            ("LastTokenProcessing", 403, ErrorClass::AlreadyAccepted),
            ("IdempotentParameterMismatch", 400, ErrorClass::AlreadyAccepted),
            ("InvalidAccessKeyId.NotFound", 404, ErrorClass::Credentials),
            ("InvalidAction.NotFound", 404, ErrorClass::Permanent),
            ("ImageSnapshot.NotFound", 404, ErrorClass::Permanent),
            ("InvalidParameter.KMS.KeyId.NotFound", 404, ErrorClass::Permanent),
            ("InvalidParameter.CPU.Memory", 400, ErrorClass::Permanent),
            ("InternalError", 500, ErrorClass::UnknownOutcome),
            ("ServiceUnAvailable", 503, ErrorClass::Transient),
            ("OperationConflict", 400, ErrorClass::Transient),
            ("OperationConflict", 409, ErrorClass::Transient),
            ("Account.Arrearage", 400, ErrorClass::Credentials),
            ("Forbidden.RAM", 403, ErrorClass::Credentials),
            ("DryRun.Success", 400, ErrorClass::DryRunOk),
            ("DryRunOperation", 400, ErrorClass::DryRunOk),
            ("JobInstanceNotSupport", 400, ErrorClass::Permanent),
        ] {
            assert_eq!(classify(code, status), class, "{code} with {status}");
        }
    }

    #[test]
    fn reasons_are_the_words_of_ack_where_it_has_some() {
        for (code, reason_of) in [
            ("OperationDenied.NoStock", "NoStock"),
            ("Zone.NotOnSale", "StockClose"),
            ("QuotaExceeded", "QuotaExceeded"),
            ("QuotaExceeded.ElasticQuota", "QuotaExceeded"),
            ("Account.Arrearage", "InsufficientBalance"),
            ("InvalidPaymentMethod.InsufficientBalance", "InsufficientBalance"),
            ("Throttling.User", "Throttling"),
            ("InvalidParameter", "CreateRefused"),
            ("ServiceUnavailable", "CloudUnavailable"),
            ("", "CloudOutcomeUnknown"),
        ] {
            assert_eq!(reason(code, classify(code, 500)), reason_of, "{code}");
        }
    }

    #[test]
    fn unknown_codes_go_by_status() {
        for (code, status, class) in [
            ("Brand.New", 400, ErrorClass::Permanent),
            ("Brand.New", 403, ErrorClass::Permanent),
            ("", 403, ErrorClass::Credentials),
            ("", 401, ErrorClass::Credentials),
            ("Brand.New", 404, ErrorClass::NotFound),
            ("InvalidContainerGroup.NotFound", 400, ErrorClass::NotFound),
            ("Brand.New", 409, ErrorClass::Transient),
            ("Brand.New", 429, ErrorClass::Throttle),
            ("Brand.New", 500, ErrorClass::UnknownOutcome),
            ("", 502, ErrorClass::UnknownOutcome),
            ("", 503, ErrorClass::Transient),
            ("", 504, ErrorClass::UnknownOutcome),
        ] {
            assert_eq!(classify(code, status), class, "{code:?} with {status}");
        }
    }

    #[test]
    fn remedies() {
        for (code, remedy) in [
            ("Throttling", Remedy::BackOff),
            ("SignatureNonceUsed", Remedy::BackOff),
            ("LastTokenProcessing", Remedy::ShortDelay),
            ("IdempotentParameterMismatch", Remedy::None),
            ("InvalidTimeStamp.Expired", Remedy::FixClock),
            ("IllegalTimestamp", Remedy::FixClock),
            ("InvalidSecurityToken.Expired", Remedy::RefreshCredentials),
            ("SignatureDoesNotMatch", Remedy::None),
            ("OperationDenied.NoStock", Remedy::None),
            ("NoPermission", Remedy::None),
        ] {
            assert_eq!(verdict(code, 400).remedy, remedy, "{code}");
        }
    }

    #[test]
    fn reasons_and_labels_are_distinct() {
        let distinct = |f: fn(ErrorClass) -> &'static str| {
            ErrorClass::ALL
                .into_iter()
                .map(f)
                .collect::<std::collections::BTreeSet<_>>()
                .len()
        };
        assert_eq!(distinct(ErrorClass::reason), ErrorClass::ALL.len());
        assert_eq!(distinct(ErrorClass::label), ErrorClass::ALL.len());
    }
}
