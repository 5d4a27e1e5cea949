//! ECI's error codes with their HTTP status: one constructor per situation, so that code and status never part.

use std::borrow::Cow;

use http::StatusCode;

use crate::domain::resources::{Kind, Refused};

/// An error answer: what the caller reads. Formatting is [`super::response`]'s business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// `Code`, such as `InvalidParameter`.
    pub code: Cow<'static, str>,
    /// HTTP status.
    pub status: StatusCode,
    /// `Message`, for people.
    pub message: String,
}

impl ApiError {
    /// Any code with any status (steering uses it for counted faults).
    pub fn new(code: impl Into<Cow<'static, str>>, status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            status,
            message: message.into(),
        }
    }

    fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, StatusCode::BAD_REQUEST, message)
    }

    fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, StatusCode::FORBIDDEN, message)
    }

    fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, StatusCode::NOT_FOUND, message)
    }

    // === protocol ===

    pub(crate) fn http_method(method: &str) -> Self {
        Self::forbidden(
            "UnsupportedHTTPMethod",
            format!("HTTP method {method} is not supported by this action."),
        )
    }

    pub(crate) fn missing_action() -> Self {
        Self::bad(
            "MissingAction",
            "The request names no Action (parameter) or x-acs-action (header).",
        )
    }

    pub(crate) fn version(version: &str) -> Self {
        Self::bad(
            "InvalidVersion",
            format!("Version {version:?} is not supported; ECI's is 2018-08-08."),
        )
    }

    pub(crate) fn action_not_found(action: &str) -> Self {
        Self::not_found(
            "InvalidAction.NotFound",
            format!("Action {action:?} does not exist in ECI 2018-08-08."),
        )
    }

    pub(crate) fn action_unsupported(action: &str) -> Self {
        Self::bad(
            "UnsupportedOperation",
            format!("{action} exists in ECI 2018-08-08 but is not supported by mock-eci."),
        )
    }

    pub(crate) fn body_too_large(limit: usize) -> Self {
        Self::new(
            "RequestTooLarge",
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("The request body exceeds {limit} bytes."),
        )
    }

    pub(crate) fn busy() -> Self {
        Self::new(
            "ServiceUnavailable",
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many large requests are being received at the same time.",
        )
    }

    pub(crate) fn too_many_parameters(limit: usize) -> Self {
        Self::bad(
            "InvalidParameter",
            format!("The request has more than {limit} parameters."),
        )
    }

    // === authentication ===

    pub(crate) fn incomplete_signature(what: &str) -> Self {
        Self::bad(
            "IncompleteSignature",
            format!("The request signature is incomplete: {what}."),
        )
    }

    pub(crate) fn signature_mismatch(string_to_sign: &str) -> Self {
        Self::bad(
            "SignatureDoesNotMatch",
            format!(
                "Specified signature is not matched with our calculation. server string to sign is:{string_to_sign}"
            ),
        )
    }

    pub(crate) fn nonce_used() -> Self {
        Self::bad("SignatureNonceUsed", "Specified signature nonce was used already.")
    }

    pub(crate) fn time_format(value: &str) -> Self {
        Self::bad(
            "InvalidTimeStamp.Format",
            format!("Specified time stamp {value:?} is not of the form YYYY-MM-DDThh:mm:ssZ."),
        )
    }

    pub(crate) fn time_expired() -> Self {
        Self::bad(
            "InvalidTimeStamp.Expired",
            "Specified time stamp or date value is expired.",
        )
    }

    pub(crate) fn access_key_not_found() -> Self {
        Self::not_found("InvalidAccessKeyId.NotFound", "Specified access key is not found.")
    }

    pub(crate) fn access_key_inactive() -> Self {
        Self::bad("InvalidAccessKeyId.Inactive", "Specified access key is disabled.")
    }

    pub(crate) fn security_token_expired() -> Self {
        Self::bad("InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")
    }

    pub(crate) fn security_token_mismatch() -> Self {
        Self::bad(
            "InvalidSecurityToken.MismatchWithAccessKey",
            "Specified SecurityToken mismatches with the AccessKey.",
        )
    }

    pub(crate) fn no_right(action: &str) -> Self {
        Self::forbidden(
            "Forbidden.RAM",
            format!(
                "User not authorized to operate on the specified resource, or this API doesn't support RAM: eci:{action}."
            ),
        )
    }

    pub(crate) fn arrearage() -> Self {
        Self::bad("Account.Arrearage", "Your account has an outstanding payment.")
    }

    pub(crate) fn throttling() -> Self {
        // 400, not 429: that is what ECI's own list says.
        Self::bad("Throttling", "Request was denied due to request throttling.")
    }

    // === parameters ===

    pub(crate) fn missing(name: &str) -> Self {
        Self::bad(
            "MissingParameter",
            format!("The input parameter \"{name}\" that is mandatory for processing this request is not supplied."),
        )
    }

    pub(crate) fn invalid(name: &str, why: impl std::fmt::Display) -> Self {
        Self::bad(
            "InvalidParameter",
            format!("The specified parameter \"{name}\" is not valid: {why}."),
        )
    }

    pub(crate) fn value_exceeded(name: &str, why: impl std::fmt::Display) -> Self {
        Self::bad(
            "InvalidParameter.ValueExceeded",
            format!("The specified parameter \"{name}\" is too large: {why}."),
        )
    }

    pub(crate) fn unsupported(name: &str, why: impl std::fmt::Display) -> Self {
        Self::bad(
            "UnsupportedParameter",
            format!("The parameter \"{name}\" is not supported by mock-eci: {why}."),
        )
    }

    pub(crate) fn duplicated_name(name: &str) -> Self {
        Self::bad(
            "InvalidParameter.DuplicatedName",
            format!("The container name {name:?} is used more than once."),
        )
    }

    pub(crate) fn duplicated_volume(name: &str) -> Self {
        Self::bad(
            "InvalidParameter.DuplicatedVolumeName",
            format!("The volume name {name:?} is used more than once."),
        )
    }

    pub(crate) fn size(message: impl Into<String>) -> Self {
        Self::bad("InvalidParameter.CPU.Memory", message)
    }

    pub(crate) fn price_size(message: impl Into<String>) -> Self {
        Self::bad("InvalidParam.CpuOrMemorySpec", message)
    }

    pub(crate) fn spot_size() -> Self {
        Self::bad(
            "InvalidSpotCpuMemorySpec",
            "The specified Cpu and Memory are not sold as spot; take a pair that all regions sell.",
        )
    }

    pub(crate) fn instance_type(name: &str) -> Self {
        Self::bad(
            "InvalidInstanceTypeForEciBuy",
            format!("The specified InstanceType {name:?} cannot be bought for container groups."),
        )
    }

    pub(crate) fn architecture(name: &str) -> Self {
        Self::bad(
            "InstanceTypeNotMatchCpuArch",
            format!("The specified InstanceType {name:?} does not have the specified CpuArchitecture."),
        )
    }

    pub(crate) fn instance_type_for_raid() -> Self {
        Self::bad(
            "InvalidInstanceTypeForRaid",
            "A volume of Medium LocalRaid0 needs an InstanceType with local disks.",
        )
    }

    pub(crate) fn conflict(one: &str, other: &str) -> Self {
        Self::bad(
            "FeatureBasedConstraintConflict",
            format!("{one} and {other} exclude each other."),
        )
    }

    pub(crate) fn only_for_invited(what: &str) -> Self {
        Self::forbidden(
            "Forbidden.OnlyForInvitedTest",
            format!("{what} is for invited accounts only."),
        )
    }

    pub(crate) fn disk_not_found(id: &str) -> Self {
        Self::not_found("InvalidDiskId.NotFound", format!("The disk {id:?} does not exist."))
    }

    pub(crate) fn address_in_use() -> Self {
        Self::bad(
            "PrivateIpAddress.Already.InUse",
            "The specified PrivateIpAddress is used by another group.",
        )
    }

    pub(crate) fn region(region: &str) -> Self {
        Self::not_found(
            "InvalidRegionId.NotFound",
            format!("Region {region:?} is not served here."),
        )
    }

    pub(crate) fn zone(zone: &str) -> Self {
        Self::forbidden("Zone.NotOnSale", format!("Zone {zone:?} is not on sale."))
    }

    // === state ===

    pub(crate) fn group_not_found(id: &str) -> Self {
        Self::not_found(
            "InvalidContainerGroupId.NotFound",
            format!("The container group {id:?} does not exist."),
        )
    }

    pub(crate) fn container_not_found(name: &str) -> Self {
        Self::not_found(
            "InvalidContainerName.NotFound",
            format!("The container {name:?} does not exist."),
        )
    }

    pub(crate) fn not_running(container: &str) -> Self {
        Self::bad(
            "IncorrectStatus",
            format!("The container {container:?} is not running."),
        )
    }

    /// Of a synchronous command. Not in ECI's list, which has no word for it: a caller must not take it for a reason to run the
    /// command again.
    pub(crate) fn exec_timeout(seconds: u64) -> Self {
        Self::bad(
            "OperationFailed.Timeout",
            format!("The command was ended because it took more than {seconds} seconds; run it without Sync."),
        )
    }

    pub(crate) fn image_snapshot_not_found() -> Self {
        Self::not_found(
            "ImageSnapshot.NotFound",
            "The image cache or snapshot of ImageSnapshotId does not exist.",
        )
    }

    pub(crate) fn image_snapshot_status(status: &str) -> Self {
        Self::bad(
            "ImageSnapshot.IncorrectStatus",
            format!("The image cache of ImageSnapshotId is {status}; it must be Ready."),
        )
    }

    /// Why the account's caches, nodes and tasks refuse something. The codes of what is not found are made after the one
    /// for groups: those of ECI are not documented.
    pub(crate) fn refused(refused: Refused) -> Self {
        match refused {
            Refused::NotFound(kind, id) => {
                let (code, what) = match kind {
                    Kind::ImageCache => ("InvalidImageCacheId.NotFound", "image cache"),
                    Kind::DataCache => ("InvalidDataCacheId.NotFound", "data cache"),
                    Kind::VirtualNode => ("InvalidVirtualNodeId.NotFound", "virtual node"),
                    Kind::Commit | Kind::OpsTask => ("InvalidTaskId.NotFound", "task"),
                };
                Self::not_found(code, format!("The {what} {id:?} does not exist."))
            }
            Refused::Quota(kind) => Self::quota(match kind {
                Kind::ImageCache => "Image cache",
                Kind::DataCache => "Data cache",
                Kind::VirtualNode => "Virtual node",
                Kind::Commit | Kind::OpsTask => "Task",
            }),
            Refused::Status(kind, status) => {
                let (what, must) = match kind {
                    Kind::DataCache => ("data cache", "Available or UpdateFailed"),
                    _ => ("image cache", "Ready or UpdateFailed"),
                };
                Self::status_forbids(format!("The {what} is {status}; it must be {must}."))
            }
            Refused::PathTaken(place) => Self::invalid("Path", format_args!("{place:?} is that of another data cache")),
            Refused::TooManyTags => Self::too_many_tags(),
        }
    }

    pub(crate) fn status_forbids(message: impl Into<String>) -> Self {
        Self::bad("IncorrectStatus", message)
    }

    pub(crate) fn no_disk() -> Self {
        Self::bad("DiskVolume.NotSupport", "The volume of VolumeName is not a disk.")
    }

    pub(crate) fn too_many_tags() -> Self {
        Self::bad(
            "NumberExceed.Tags",
            "The maximum number of Tags is exceeded. The maximum is 20.",
        )
    }

    pub(crate) fn too_many_resources() -> Self {
        Self::bad(
            "NumberExceed.ResourceIds",
            "The maximum number of ResourceIds is exceeded. The maximum is 50.",
        )
    }

    pub(crate) fn reserved_tag(key: &str) -> Self {
        Self::bad(
            "NoPermission.Tag",
            format!("The tag {key:?} begins with aliyun or acs:, which is for the system alone."),
        )
    }

    pub(crate) fn quota(what: &str) -> Self {
        Self::forbidden("QuotaExceeded", format!("{what} quota exceeded."))
    }

    pub(crate) fn incorrect_status(id: &str, status: &str) -> Self {
        Self::bad(
            "IncorrectStatus",
            format!("The container group {id:?} is {status}: only Pending and Running ones can be changed."),
        )
    }

    pub(crate) fn no_stock() -> Self {
        Self::forbidden(
            "OperationDenied.NoStock",
            "The requested resource is sold out in the specified zone; try other types of resources or other zones.",
        )
    }

    pub(crate) fn spot_not_matched() -> Self {
        Self::forbidden(
            "Spot.NotMatched",
            "The specified SpotPriceLimit is below the market price of this size in the specified zone.",
        )
    }

    pub(crate) fn no_address() -> Self {
        Self::forbidden(
            "InvalidVSwitchId.IpNotEnough",
            "The specified VSwitch has no free IP address.",
        )
    }

    pub(crate) fn zone_mismatch() -> Self {
        Self::forbidden(
            "OperationDenied.VswZoneMisMatch",
            "The specified VSwitchId is not in the specified ZoneId.",
        )
    }

    pub(crate) fn idempotent_mismatch() -> Self {
        Self::bad(
            "IdempotentParameterMismatch",
            "The specified ClientToken was used by an earlier request with other parameters.",
        )
    }

    pub(crate) fn last_token_processing() -> Self {
        Self::forbidden(
            "LastTokenProcessing",
            "The last request with this ClientToken is still being processed.",
        )
    }

    pub(crate) fn dry_run() -> Self {
        Self::bad(
            "DryRunOperation",
            "Request validation has been passed with DryRun flag set.",
        )
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new("InternalError", StatusCode::INTERNAL_SERVER_ERROR, message)
    }
}
