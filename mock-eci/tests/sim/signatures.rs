//! Signatures against published and captured vectors, stage by stage; never against our own signing only.

use http::HeaderMap;
use mock_eci::api::{params::Params, signature};

fn params(pairs: &[(&str, &str)]) -> Params {
    let mut params = Params::default();
    params
        .extend_encoded(crate::bed::encode(pairs).as_bytes())
        .expect("few parameters");
    params.sort();
    params
}

const NONCE: &str = "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf";

const LIST: [(&str, &str); 5] = [
    ("RegionId", "cn-hangzhou"),
    ("ContainerGroupIds", r#"["eci-1","eci-2"]"#),
    ("Tag.1.Key", "a b"),
    ("Tag.1.Value", "*~+/=中"),
    ("WithEvent", "true"),
];

const CREATE: [(&str, &str); 14] = [
    ("RegionId", "cn-hangzhou"),
    ("ContainerGroupName", "web-1"),
    ("Cpu", "0.25"),
    ("Memory", "0.5"),
    ("Container.1.Name", "c1"),
    ("Container.1.Image", "nginx:1.25"),
    ("Container.1.Arg.1", "-c"),
    ("Container.1.Arg.2", "echo \"a b\" > /tmp/x"),
    ("Container.1.EnvironmentVar.1.Key", "EMPTY"),
    ("Container.1.EnvironmentVar.1.Value", ""),
    ("Container.1.EnvironmentVar.2.Key", "IP"),
    ("Container.1.EnvironmentVar.2.FieldRef.FieldPath", "status.podIP"),
    ("Tag.1.Key", "k8s/ns"),
    ("Tag.1.Value", "default"),
];

fn v1(method: &str, action: &str, business: &[(&str, &str)]) -> (String, String) {
    let mut all = vec![
        ("AccessKeyId", "testid"),
        ("Action", action),
        ("Format", "JSON"),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureNonce", NONCE),
        ("SignatureVersion", "1.0"),
        ("Timestamp", "2018-01-01T12:00:00Z"),
        ("Version", "2018-08-08"),
        // A signature never signs itself.
        ("Signature", "whatever"),
    ];
    all.extend_from_slice(business);
    let text = signature::v1_string_to_sign(method, &params(&all));
    let signature = signature::v1_signature("testsecret", &text);
    (text, signature)
}

#[test]
fn v1_public_document() {
    let all = params(&[
        ("Timestamp", "2016-02-23T12:46:24Z"),
        ("Format", "XML"),
        ("AccessKeyId", "testid"),
        ("Action", "DescribeRegions"),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureNonce", NONCE),
        ("Version", "2014-05-26"),
        ("SignatureVersion", "1.0"),
    ]);
    let text = signature::v1_string_to_sign("GET", &all);
    assert_eq!(
        signature::v1_signature("testsecret", &text),
        "OLeaidS1JvxuMvnyHOwuJ+uX5qY="
    );
}

#[test]
fn v1_both_sdks() {
    let (text, signature) = v1("GET", "DescribeContainerGroups", &LIST);
    assert_eq!(
        text,
        "GET&%2F&AccessKeyId%3Dtestid%26Action%3DDescribeContainerGroups%26ContainerGroupIds%3D%255B%2522eci-1%2522%252C%2522eci-2%2522%255D%26Format%3DJSON%26RegionId%3Dcn-hangzhou%26SignatureMethod%3DHMAC-SHA1%26SignatureNonce%3D3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf%26SignatureVersion%3D1.0%26Tag.1.Key%3Da%2520b%26Tag.1.Value%3D%252A~%252B%252F%253D%25E4%25B8%25AD%26Timestamp%3D2018-01-01T12%253A00%253A00Z%26Version%3D2018-08-08%26WithEvent%3Dtrue"
    );
    assert_eq!(signature, "xsJdm4ChEvcSKCOswCTfyQDCon8=");
    assert_eq!(
        v1("POST", "DescribeContainerGroups", &LIST).1,
        "Jl7ERMXU7BnbYoJM1F6A55vr36k="
    );
    let mut with_token = LIST.to_vec();
    with_token.push(("SecurityToken", "tok/en+1="));
    assert_eq!(
        v1("GET", "DescribeContainerGroups", &with_token).1,
        "7dQDF1qCKtXsewcx08MSVhSaZwc="
    );
    assert_eq!(
        v1("POST", "CreateContainerGroup", &CREATE).1,
        "I2pvoGO94Mvxizxutuhvo3VyYDk="
    );
}

struct V3<'a> {
    action: &'a str,
    query: &'a [(&'a str, &'a str)],
    body: &'a str,
    more: &'a [(&'static str, &'a str)],
    signed: &'a str,
}

impl V3<'_> {
    fn sign(&self) -> (String, String) {
        let hash = signature::content_hash(self.body.as_bytes());
        let mut headers = HeaderMap::new();
        let known = [
            ("x-acs-action", self.action),
            ("x-acs-content-sha256", &hash),
            ("x-acs-date", "2018-01-01T12:00:00Z"),
            ("x-acs-signature-nonce", NONCE),
            ("x-acs-version", "2018-08-08"),
        ];
        for (name, value) in known.iter().chain(self.more) {
            headers.insert(*name, value.parse().expect("a header"));
        }
        let canonical = signature::v3_canonical_request(
            "POST",
            &params(self.query),
            true,
            &headers,
            "eci.cn-hangzhou.aliyuncs.com",
            self.signed,
            &hash,
        );
        let text = signature::v3_string_to_sign(&canonical);
        let signature = signature::v3_signature("testsecret", &text);
        (text, signature)
    }
}

const PLAIN: &str = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version";

#[test]
fn v3_public_document() {
    let hash = signature::content_hash(b"");
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-acs-action", "RunInstances"),
        ("x-acs-content-sha256", hash.as_str()),
        ("x-acs-date", "2023-10-26T10:22:32Z"),
        ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
        ("x-acs-version", "2014-05-26"),
    ] {
        headers.insert(name, value.parse().expect("a header"));
    }
    let query = params(&[
        ("ImageId", "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"),
        ("RegionId", "cn-shanghai"),
    ]);
    let host = "ecs.cn-shanghai.aliyuncs.com";
    let canonical = signature::v3_canonical_request("POST", &query, true, &headers, host, PLAIN, &hash);
    let signature = signature::v3_signature("YourAccessKeySecret", &signature::v3_string_to_sign(&canonical));
    assert_eq!(
        signature,
        "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
    );
}

#[test]
fn v3_query() {
    let (text, signature) = V3 {
        action: "DescribeContainerGroups",
        query: &LIST,
        body: "",
        more: &[],
        signed: PLAIN,
    }
    .sign();
    assert_eq!(
        text,
        "ACS3-HMAC-SHA256\n518a31ffd862f61cc0d7f805f6efbc673ed73538449faf61f9db398da46700e9"
    );
    assert_eq!(
        signature,
        "2768c2b77a6cc48d60ab211dc4d07e8c2d39fe4392b5f0c584eb3be4b209cc92"
    );
}

#[test]
fn v3_security_token() {
    let (text, signature) = V3 {
        action: "DescribeContainerGroups",
        query: &LIST,
        body: "",
        more: &[("x-acs-accesskey-id", "testid"), ("x-acs-security-token", "tok/en+1=")],
        signed: "host;x-acs-accesskey-id;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-security-token;\
                 x-acs-signature-nonce;x-acs-version",
    }
    .sign();
    assert!(
        text.ends_with("7f302d397d4c786c47fbe0ac84b8d79107daf9de656bc1142dc8074b77c8a59e"),
        "{text}"
    );
    assert_eq!(
        signature,
        "ca62692a78bd99f8ecee3a1145bafb36cf0d584e0b553558da70ab38a02dcf71"
    );
}

#[test]
fn v3_form_body() {
    let (text, signature) = V3 {
        action: "CreateContainerGroup",
        query: &[],
        body: "ContainerGroupName=a+b&RegionId=cn-hangzhou",
        more: &[("content-type", "application/x-www-form-urlencoded")],
        signed: "content-type;host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version",
    }
    .sign();
    assert!(
        text.ends_with("b840f877afc4cd7cfb36381ea2760e405e16ca1e99aeb520111a857a0ea376a2"),
        "{text}"
    );
    assert_eq!(
        signature,
        "de20dcb79222d0bdd29672d29835635d0d45657506dd2c4cd32e56e7bc91fe08"
    );
}

#[test]
fn v3_create() {
    let (text, signature) = V3 {
        action: "CreateContainerGroup",
        query: &CREATE,
        body: "",
        more: &[],
        signed: PLAIN,
    }
    .sign();
    assert!(
        text.ends_with("f7609564f008f5b6df48656f670308e131b3454553bd3d20a50767215fa42d84"),
        "{text}"
    );
    assert_eq!(
        signature,
        "7d5aabcf174d8602ee81cd129dd747231d652beeb58056ce545d86b5ae850eeb"
    );
}
