//! The account: its quota, rights, credentials and bills.

use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use rand::RngExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Area, Call, Refusal, Reply, Route, bad, refuse};
use crate::{api::credentials::Credential, app::App, config::AccessKey, gate, timers::after};

/// How long temporary credentials last unless told otherwise: what STS gives.
const STS_SECONDS: u64 = 3_600;
/// Longest life of temporary credentials.
const MAX_STS_SECONDS: u64 = 365 * 24 * 3_600;

pub(super) static AREA: Area = Area {
    title: "The account",
    routes: &[
        Route::get("/mock/usage", "quota and use", |call| Ok(usage(call.app))),
        Route::post("/mock/usage", "sets the vCPU quota, and puts it in force", set_usage)
            .bodies(&[r#"{"max-cpu": 100}"#]),
        Route::get("/mock/rights", "what the account may do", |call| Ok(rights(call.app))),
        Route::post(
            "/mock/rights",
            "takes rights away or gives them back: to list (without it lists are empty, and no error), to call actions (`*` = all; without it `Forbidden.RAM`); arrears refuse what is billed (`Account.Arrearage`)",
            set_rights,
        )
        .bodies(&[
            r#"{"list": false}"#,
            r#"{"deny": ["CreateContainerGroup", "DeleteContainerGroup"]}"#,
            r#"{"list": true, "allow": ["*"]}"#,
            r#"{"arrears": true}"#,
        ]),
        Route::get("/mock/credentials", "who may call, without secrets", |call| {
            Ok(credentials(call.app))
        }),
        Route::post(
            "/mock/credentials",
            "adds a key pair, or changes the one of this id: disables it (`InvalidAccessKeyId.Inactive`), lets it expire (`InvalidSecurityToken.Expired`)",
            put_credential,
        )
        .bodies(&[
            r#"{"id": "other", "secret": "other-secret"}"#,
            r#"{"id": "STS.mine", "secret": "s", "security-token": "t", "expires-in-seconds": 900}"#,
            r#"{"id": "testid", "active": false}"#,
        ]),
        Route::delete("/mock/credentials/{id}", "takes a key pair away", remove_credential),
        Route::get(
            "/mock/sts",
            "new temporary credentials, as `ALIBABA_CLOUD_CREDENTIALS_URI` wants them; they expire by the server's clock",
            issue,
        )
        .query("seconds=900"),
        Route::get("/mock/ledger", "what each group is billed", |call| {
            Ok(json!(call.app.ledger()))
        }),
    ],
};

pub(super) fn usage(app: &App) -> Value {
    let state = app.cloud().state();
    json!({
        "used-cpu": state.used_milli_cpu() as f64 / 1000.0, "max-cpu": state.quota_milli_cpu() as f64 / 1000.0,
        "groups": state.len(),
    })
}

fn set_usage(call: &Call<'_>) -> Reply {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Body {
        max_cpu: f64,
    }
    let Body { max_cpu } = call.body()?;
    if !(0.0..=1e9).contains(&max_cpu) {
        return Err(bad("max-cpu must be a number of vCPU that is not negative"));
    }
    call.app.set_max_milli_cpu((max_cpu * 1000.0).round() as u64);
    Ok(usage(call.app))
}

fn rights(app: &App) -> Value {
    let list = app.cloud().state().may_list;
    let rules = app.gate().rules();
    json!({ "list": list, "denied": rules.denied, "arrears": rules.arrears })
}

fn set_rights(call: &Call<'_>) -> Reply {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        list: Option<bool>,
        #[serde(default)]
        deny: Vec<String>,
        #[serde(default)]
        allow: Vec<String>,
        arrears: Option<bool>,
    }
    let Body {
        list,
        deny,
        allow,
        arrears,
    } = call.body()?;
    for word in deny.iter().chain(&allow) {
        if gate::actions(word).is_empty() {
            return Err(bad(format!("action {word:?} does not exist in ECI 2018-08-08")));
        }
    }
    let gate = call.app.gate();
    for (words, may) in [(allow, true), (deny, false)] {
        for action in words.iter().flat_map(|word| gate::actions(word)) {
            gate.set_right(action, may);
        }
    }
    if let Some(list) = list {
        call.app.set_may_list(list);
    }
    if let Some(arrears) = arrears {
        gate.set_arrears(arrears);
    }
    Ok(rights(call.app))
}

fn show(credential: &Credential) -> Value {
    json!({
        "id": credential.key.id, "temporary": credential.key.security_token.is_some(),
        "active": credential.active, "expires-at": credential.expires_at,
    })
}

fn credentials(app: &App) -> Value {
    app.credentials().list().iter().map(|c| show(c)).collect()
}

fn put_credential(call: &Call<'_>) -> Reply {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Body {
        id: String,
        secret: Option<String>,
        security_token: Option<String>,
        active: Option<bool>,
        expires_in_seconds: Option<u64>,
        expires_at: Option<Timestamp>,
    }
    let body: Body = call.body()?;
    let now = call.app.clock().now();
    let known = call.app.credentials().find(&body.id);
    let mut credential = match (known, &body.secret) {
        (Some(known), _) => (*known).clone(),
        (None, Some(secret)) if !body.id.is_empty() => Credential::new(AccessKey {
            id: body.id,
            secret: secret.clone(),
            security_token: None,
        }),
        (None, _) => return Err(bad("a new key pair needs id and secret")),
    };
    if let Some(secret) = body.secret {
        if secret.is_empty() {
            return Err(bad("secret must not be empty"));
        }
        credential.key.secret = secret;
    }
    if let Some(token) = body.security_token {
        credential.key.security_token = Some(token).filter(|t| !t.is_empty());
    }
    if let Some(active) = body.active {
        credential.active = active;
    }
    credential.expires_at = match (body.expires_at, body.expires_in_seconds) {
        (Some(_), Some(_)) => return Err(bad("expires-at and expires-in-seconds exclude each other")),
        (Some(at), None) => Some(at),
        (None, Some(seconds)) => Some(after(now, Duration::from_secs(seconds))),
        (None, None) => credential.expires_at,
    };
    let shown = show(&credential);
    call.app.credentials().put(credential, now);
    Ok(shown)
}

fn remove_credential(call: &Call<'_>) -> Reply {
    match call.app.credentials().remove(call.segment(0)) {
        true => Ok(credentials(call.app)),
        false => Err(refuse(StatusCode::NOT_FOUND, "there is no key pair of this id")),
    }
}

fn issue(call: &Call<'_>) -> Reply {
    let seconds = call.number("seconds")?.unwrap_or(STS_SECONDS);
    if !(1..=MAX_STS_SECONDS).contains(&seconds) {
        return Err(too_long());
    }
    let now = call.app.clock().now();
    let expires_at = after(now, Duration::from_secs(seconds));
    let key = AccessKey {
        id: format!("STS.{}", word(24)),
        secret: word(44),
        security_token: Some(word(96)),
    };
    // Whole seconds, as every time that Alibaba Cloud tells; cut, so that nobody trusts them for too long.
    let expiration = Timestamp::from_second(expires_at.as_second()).unwrap_or(expires_at);
    let answer = json!({
        "Code": "Success", "AccessKeyId": key.id, "AccessKeySecret": key.secret, "SecurityToken": key.security_token,
        "Expiration": expiration, "LastUpdated": Timestamp::from_second(now.as_second()).unwrap_or(now),
    });
    let credential = Credential {
        key,
        active: true,
        expires_at: Some(expires_at),
    };
    call.app.credentials().put(credential, now);
    Ok(answer)
}

fn too_long() -> Refusal {
    bad(format!("seconds must be a whole number from 1 to {MAX_STS_SECONDS}"))
}

/// A word that nobody guesses.
fn word(length: usize) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = rand::rng();
    (0..length)
        .map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())]))
        .collect()
}
