//! Environment variables that tell of Services, as a kubelet writes them.

/// A Service with an address of its own, as far as environment variables tell of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceLink {
    /// `metadata.name`.
    pub name: String,
    /// `spec.clusterIP`.
    pub cluster_ip: String,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
}

/// A port of a [`ServiceLink`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServicePort {
    /// `name`, empty = none.
    pub name: String,
    /// `port`.
    pub port: u16,
    /// `protocol`, empty = TCP.
    pub protocol: String,
}

impl ServiceLink {
    /// Its variables; none without an address or a port.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        let name = variable_name(&self.name);
        let host = &self.cluster_ip;
        let Some(first) = self.ports.first() else {
            return Vec::new();
        };
        if host.is_empty() || host == "None" {
            return Vec::new();
        }
        let mut all = vec![
            (format!("{name}_SERVICE_HOST"), host.clone()),
            (format!("{name}_SERVICE_PORT"), first.port.to_string()),
        ];
        for port in self.ports.iter().filter(|port| !port.name.is_empty()) {
            let port_name = variable_name(&port.name);
            all.push((format!("{name}_SERVICE_PORT_{port_name}"), port.port.to_string()));
        }
        for (index, port) in self.ports.iter().enumerate() {
            let number = port.port;
            let protocol = if port.protocol.is_empty() {
                "TCP"
            } else {
                &port.protocol
            };
            let authority = if host.contains(':') {
                format!("[{host}]:{number}")
            } else {
                format!("{host}:{number}")
            };
            let url = format!("{}://{authority}", protocol.to_ascii_lowercase());
            if index == 0 {
                all.push((format!("{name}_PORT"), url.clone()));
            }
            let prefix = format!("{name}_PORT_{number}_{}", protocol.to_ascii_uppercase());
            all.push((prefix.clone(), url));
            all.push((format!("{prefix}_PROTO"), protocol.to_ascii_lowercase()));
            all.push((format!("{prefix}_PORT"), number.to_string()));
            all.push((format!("{prefix}_ADDR"), host.clone()));
        }
        all
    }
}

fn variable_name(name: &str) -> String {
    name.replace('-', "_").to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(cluster_ip: &str, ports: &[(&str, u16, &str)]) -> Vec<String> {
        let link = ServiceLink {
            name: "my-db".to_owned(),
            cluster_ip: cluster_ip.to_owned(),
            ports: ports
                .iter()
                .map(|(name, port, protocol)| ServicePort {
                    name: (*name).to_owned(),
                    port: *port,
                    protocol: (*protocol).to_owned(),
                })
                .collect(),
        };
        link.variables().into_iter().map(|(k, v)| format!("{k}={v}")).collect()
    }

    #[test]
    fn as_a_kubelet_writes_them() {
        assert_eq!(
            lines("10.0.0.1", &[("sql", 5432, "TCP"), ("dns-udp", 53, "UDP")]),
            [
                "MY_DB_SERVICE_HOST=10.0.0.1",
                "MY_DB_SERVICE_PORT=5432",
                "MY_DB_SERVICE_PORT_SQL=5432",
                "MY_DB_SERVICE_PORT_DNS_UDP=53",
                "MY_DB_PORT=tcp://10.0.0.1:5432",
                "MY_DB_PORT_5432_TCP=tcp://10.0.0.1:5432",
                "MY_DB_PORT_5432_TCP_PROTO=tcp",
                "MY_DB_PORT_5432_TCP_PORT=5432",
                "MY_DB_PORT_5432_TCP_ADDR=10.0.0.1",
                "MY_DB_PORT_53_UDP=udp://10.0.0.1:53",
                "MY_DB_PORT_53_UDP_PROTO=udp",
                "MY_DB_PORT_53_UDP_PORT=53",
                "MY_DB_PORT_53_UDP_ADDR=10.0.0.1",
            ]
        );
        assert_eq!(lines("fd00::1", &[("", 80, "")])[2], "MY_DB_PORT=tcp://[fd00::1]:80");
    }

    #[test]
    fn a_service_without_an_address_has_none() {
        for address in ["", "None"] {
            assert!(lines(address, &[("", 80, "")]).is_empty());
        }
        assert!(lines("10.0.0.1", &[]).is_empty());
    }
}
