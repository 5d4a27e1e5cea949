//! The hosts file of a group, as a kubelet writes it; engines write other ones.

use std::{fmt::Write as _, net::IpAddr};

use crate::spec::HostAlias;

const HEAD: &str = "\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
";

/// The file of a group with this address and host name.
pub(super) fn file(ip: IpAddr, host_name: &str, aliases: &[HostAlias]) -> String {
    let mut text = format!("{HEAD}{ip}\t{host_name}\n");
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let _ = writeln!(text, "{}\t{}", alias.ip, alias.host_names.join("\t"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_one_line_with_all_its_names() {
        let alias = HostAlias {
            ip: "123.45.67.89".parse().expect("an address"),
            host_names: vec!["foo".into(), "bar".into()],
        };
        let text = file("10.88.0.7".parse().expect("an address"), "web-1", &[alias]);
        assert!(
            text.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"),
            "{text}"
        );
        assert!(text.contains("\n10.88.0.7\tweb-1\n"), "{text}");
        assert!(text.ends_with("\n123.45.67.89\tfoo\tbar\n"), "{text}");
    }
}
