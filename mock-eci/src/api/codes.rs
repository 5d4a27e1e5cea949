//! The HTTP status that belongs to an error code, for those who plan errors by their code alone.

use http::StatusCode;

/// ECI's and its gateway's codes, by status; what is not here is 400.
const CODES: [(u16, &[&str]); 4] = [
    (
        403,
        &[
            "UnsupportedHTTPMethod",
            "LastTokenProcessing",
            "InvalidIdempotenceParameter.Mismatch",
            "NoPermission",
            "Zone.NotOnSale",
            "Spot.NotMatched",
            "InvalidVSwitchId.IpNotEnough",
            "QuotaExceeded",
            "Throttling.Vcpu.PerDay",
            "InvalidUser.PassRoleForbidden",
            "InvalidOperation.ResourceManagedByCloudProduct",
            "SecurityRisk.3DVerification",
            "CreateServiceLinkedRole.Denied",
            "FeatureAccessRestricted",
            "InvalidParameter.KMS.KeyId.Forbidden",
        ],
    ),
    (413, &["RequestTooLarge"]),
    (500, &["InternalError"]),
    (
        503,
        &[
            "ServiceUnavailable",
            "ServiceUnAvailable",
            "ServiceUnavailable.RegionMaintaining",
        ],
    ),
];

/// The status of a code.
pub fn status(code: &str) -> StatusCode {
    let listed = CODES.iter().find(|(_, codes)| codes.contains(&code));
    let status = match (listed, code) {
        (Some((status, _)), _) => *status,
        (None, code) if is_family(code, "Forbidden") || is_family(code, "OperationDenied") => 403,
        (None, code) if code.ends_with(".NotFound") => 404,
        _ => 400,
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST)
}

fn is_family(code: &str, family: &str) -> bool {
    code.strip_prefix(family)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::error::ApiError;

    #[test]
    fn codes_have_the_status_of_the_error_tables() {
        for (code, expected) in [
            ("Throttling", 400),
            ("Account.Arrearage", 400),
            ("OperationConflict", 400),
            ("OperationDenied.NoStock", 403),
            ("QuotaExceeded", 403),
            ("Forbidden.RAM", 403),
            ("Forbidden", 403),
            ("ImageSnapshot.NotFound", 404),
            ("InvalidAction.NotFound", 404),
            ("InternalError", 500),
            ("ServiceUnavailable", 503),
            ("UnknownError", 400),
        ] {
            assert_eq!(status(code).as_u16(), expected, "{code}");
        }
    }

    #[test]
    fn errors_made_here_have_the_same_status() {
        for error in [
            ApiError::http_method("PUT"),
            ApiError::action_not_found("X"),
            ApiError::body_too_large(1),
            ApiError::access_key_not_found(),
            ApiError::access_key_inactive(),
            ApiError::security_token_expired(),
            ApiError::throttling(),
            ApiError::no_right("X"),
            ApiError::arrearage(),
            ApiError::zone("z"),
            ApiError::quota("vCPU"),
            ApiError::last_token_processing(),
            ApiError::group_not_found("g"),
            ApiError::internal("x"),
        ] {
            assert_eq!(error.status, status(&error.code), "{}", error.code);
        }
    }
}
