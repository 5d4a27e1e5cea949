//! A request as ECI's flat parameters: `Container.1.EnvironmentVar.2.Key=…`.
//!
//! Rules of the wire, all in this module: lists count from 1, members are joined by `.`, unset values are left out,
//! booleans are `true`/`false`, vCPU and GiB are decimals, files are base64. `Action`, `Version` and what a signature
//! adds are not parameters here.

mod container;
mod options;
mod volume;
mod writer;

use crate::request::{CreateContainerGroup, Dns, Volume};

use writer::{Writer, decimal};

/// The parameters of a create as pairs, in a stable order. They may hold secrets.
pub fn create_params(request: &CreateContainerGroup) -> Vec<(String, String)> {
    let mut params = Vec::with_capacity(96);
    visit(request, |key, value| params.push((key.to_owned(), value.to_owned())));
    params
}

/// The parameters of a create as an `application/x-www-form-urlencoded` body, without making pairs first.
pub fn create_form(request: &CreateContainerGroup) -> String {
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(4096));
    visit(request, |key, value| {
        form.append_pair(key, value);
    });
    form.finish()
}

/// An update of a running group that replaces files of its ConfigFile volumes, and leaves all else as it is, as an
/// `application/x-www-form-urlencoded` body. Files are found by volume and path; one that is left out stays.
pub fn update_files_form(region_id: &str, group_id: &str, volumes: &[Volume]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(4096));
    let mut sink = |key: &str, value: &str| {
        form.append_pair(key, value);
    };
    let w = &mut Writer::new(&mut sink);
    w.put("RegionId", region_id);
    w.put("ContainerGroupId", group_id);
    w.put("UpdateType", "IncrementalUpdate");
    w.list("Volume", volumes, volume::put);
    form.finish()
}

/// Any parameters as an `application/x-www-form-urlencoded` body.
pub fn form<K: AsRef<str>, V: AsRef<str>>(params: &[(K, V)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(256));
    form.extend_pairs(params);
    form.finish()
}

/// Tags as `Tag.N.Key` and `Tag.N.Value`, for the calls that filter by them.
pub fn tag_params(params: &mut Vec<(String, String)>, tags: &[(String, String)]) {
    for (i, (key, value)) in tags.iter().enumerate() {
        params.push((format!("Tag.{}.Key", i + 1), key.clone()));
        params.push((format!("Tag.{}.Value", i + 1), value.clone()));
    }
}

/// Calls `sink` with each parameter; both texts live for the call only.
fn visit(request: &CreateContainerGroup, mut sink: impl FnMut(&str, &str)) {
    let CreateContainerGroup {
        region_id,
        zone_id,
        vswitch_ids,
        schedule_strategy,
        security_group_id,
        resource_group_id,
        name,
        client_token,
        cpu,
        memory,
        instance_type,
        restart_policy,
        active_deadline_seconds,
        termination_grace_period_seconds,
        dns,
        host_aliases,
        host_name,
        share_process_namespace,
        sysctls,
        registry_credentials,
        extra_ephemeral_storage_gib,
        spot_strategy,
        spot_price_limit,
        spot_duration,
        max_pending_minutes,
        ram_role_name,
        options,
        tags,
        init_containers,
        containers,
        volumes,
    } = request;

    let w = &mut Writer::new(&mut sink);
    w.put("RegionId", region_id);
    w.put_unless_empty("ZoneId", zone_id);
    match vswitch_ids.as_slice() {
        [] => {}
        [only] => w.put("VSwitchId", only),
        several => {
            w.put("VSwitchId", &several.join(","));
            // Without it ECI does not say which one it tries first.
            w.put("ScheduleStrategy", schedule_strategy.as_str());
        }
    }
    w.put_unless_empty("SecurityGroupId", security_group_id);
    w.put_unless_empty("ResourceGroupId", resource_group_id);
    w.put("ContainerGroupName", name);
    w.put_unless_empty("ClientToken", client_token);
    match instance_type {
        Some(kind) => w.put("InstanceType", kind),
        None => {
            w.put("Cpu", &decimal(cpu.as_vcpu()));
            w.put("Memory", &decimal(memory.as_gib()));
        }
    }
    w.put("RestartPolicy", restart_policy.as_str());
    w.put_some("ActiveDeadlineSeconds", active_deadline_seconds.as_ref());
    w.put_some(
        "TerminationGracePeriodSeconds",
        termination_grace_period_seconds.as_ref(),
    );
    put_dns(w, dns);
    w.list("HostAliase", host_aliases, |w, alias| {
        w.put("Ip", &alias.ip);
        w.texts("Hostname", &alias.hostnames);
    });
    w.put_some("HostName", host_name.as_ref());
    w.put_if("ShareProcessNamespace", *share_process_namespace);
    w.within("SecurityContext", |w| {
        w.list("Sysctl", sysctls, |w, (name, value)| put_name_value(w, name, value))
    });
    w.list("ImageRegistryCredential", registry_credentials, |w, credential| {
        w.put("Server", &credential.server);
        w.put("UserName", &credential.user_name);
        w.put("Password", &credential.password.0);
    });
    w.put_some("EphemeralStorage", extra_ephemeral_storage_gib.as_ref());
    w.put_some("SpotStrategy", spot_strategy.as_ref());
    w.put_some("SpotPriceLimit", spot_price_limit.as_ref());
    w.put_some("SpotDuration", spot_duration.as_ref());
    w.put_some("MaxPendingMinute", max_pending_minutes.as_ref());
    w.put_some("RamRoleName", ram_role_name.as_ref());
    options::put(w, options);
    w.list("Tag", tags, |w, (key, value)| {
        w.put("Key", key);
        w.put("Value", value);
    });
    w.list("InitContainer", init_containers, container::put_init);
    w.list("Container", containers, container::put);
    w.list("Volume", volumes, volume::put);
}

fn put_dns(w: &mut Writer<'_>, dns: &Dns) {
    match dns {
        Dns::Default => w.put("DnsPolicy", "Default"),
        Dns::None {
            name_servers,
            searches,
            options,
        } => {
            w.put("DnsPolicy", "None");
            w.within("DnsConfig", |w| {
                w.texts("NameServer", name_servers);
                w.texts("Search", searches);
                w.list("Option", options, |w, (name, value)| put_name_value(w, name, value));
            });
        }
    }
}

fn put_name_value(w: &mut Writer<'_>, name: &str, value: &str) {
    w.put("Name", name);
    w.put("Value", value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::*;
    use crate::units::{MiB, MilliCpu};

    fn lines(request: &CreateContainerGroup) -> Vec<String> {
        create_params(request)
            .into_iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect()
    }

    fn smallest() -> CreateContainerGroup {
        CreateContainerGroup {
            region_id: "cn-hangzhou".into(),
            name: "web-1".into(),
            cpu: MilliCpu(250),
            memory: MiB(512),
            ..Default::default()
        }
    }

    #[test]
    fn unset_values_are_left_out() {
        assert_eq!(
            lines(&smallest()),
            [
                "RegionId=cn-hangzhou",
                "ContainerGroupName=web-1",
                "Cpu=0.25",
                "Memory=0.5",
                "RestartPolicy=Always",
                "DnsPolicy=Default"
            ]
        );
    }

    #[test]
    fn sizes_are_decimals() {
        for (cpu, memory, want) in [
            (2000, 4096, ["Cpu=2.0", "Memory=4.0"]),
            (100, 100, ["Cpu=0.1", "Memory=0.09765625"]),
        ] {
            let request = CreateContainerGroup {
                cpu: MilliCpu(cpu),
                memory: MiB(memory),
                ..smallest()
            };
            assert_eq!(lines(&request)[2..4], want);
        }
    }

    #[test]
    fn every_group_level_parameter() {
        let request = CreateContainerGroup {
            zone_id: "cn-hangzhou-h".into(),
            vswitch_ids: vec!["vsw-1".into(), "vsw-2".into()],
            security_group_id: "sg-1".into(),
            resource_group_id: "rg-1".into(),
            client_token: "t0ken".into(),
            restart_policy: RestartPolicy::Never,
            active_deadline_seconds: Some(60),
            termination_grace_period_seconds: Some(30),
            dns: Dns::None {
                name_servers: vec!["10.0.0.10".into()],
                searches: vec!["a.svc".into(), "svc".into()],
                options: vec![("ndots".into(), "5".into()), ("edns0".into(), String::new())],
            },
            host_aliases: vec![HostAlias {
                ip: "10.0.0.9".into(),
                hostnames: vec!["a".into(), "b".into()],
            }],
            host_name: Some("web".into()),
            share_process_namespace: true,
            sysctls: vec![("net.ipv4.ping_group_range".into(), "0 1".into())],
            registry_credentials: vec![RegistryCredential {
                server: "r.example".into(),
                user_name: "u".into(),
                password: "p".into(),
            }],
            extra_ephemeral_storage_gib: Some(20),
            spot_strategy: Some("SpotWithPriceLimit".into()),
            spot_price_limit: Some("0.05".into()),
            spot_duration: Some(0),
            max_pending_minutes: Some(60),
            ram_role_name: Some("role".into()),
            tags: vec![("UID".into(), "1-2".into()), ("k".into(), String::new())],
            ..smallest()
        };
        assert_eq!(
            lines(&request),
            [
                "RegionId=cn-hangzhou",
                "ZoneId=cn-hangzhou-h",
                "VSwitchId=vsw-1,vsw-2",
                "ScheduleStrategy=VSwitchOrdered",
                "SecurityGroupId=sg-1",
                "ResourceGroupId=rg-1",
                "ContainerGroupName=web-1",
                "ClientToken=t0ken",
                "Cpu=0.25",
                "Memory=0.5",
                "RestartPolicy=Never",
                "ActiveDeadlineSeconds=60",
                "TerminationGracePeriodSeconds=30",
                "DnsPolicy=None",
                "DnsConfig.NameServer.1=10.0.0.10",
                "DnsConfig.Search.1=a.svc",
                "DnsConfig.Search.2=svc",
                "DnsConfig.Option.1.Name=ndots",
                "DnsConfig.Option.1.Value=5",
                "DnsConfig.Option.2.Name=edns0",
                "DnsConfig.Option.2.Value=",
                "HostAliase.1.Ip=10.0.0.9",
                "HostAliase.1.Hostname.1=a",
                "HostAliase.1.Hostname.2=b",
                "HostName=web",
                "ShareProcessNamespace=true",
                "SecurityContext.Sysctl.1.Name=net.ipv4.ping_group_range",
                "SecurityContext.Sysctl.1.Value=0 1",
                "ImageRegistryCredential.1.Server=r.example",
                "ImageRegistryCredential.1.UserName=u",
                "ImageRegistryCredential.1.Password=p",
                "EphemeralStorage=20",
                "SpotStrategy=SpotWithPriceLimit",
                "SpotPriceLimit=0.05",
                "SpotDuration=0",
                "MaxPendingMinute=60",
                "RamRoleName=role",
                "Tag.1.Key=UID",
                "Tag.1.Value=1-2",
                "Tag.2.Key=k",
                "Tag.2.Value=",
            ]
        );
    }

    #[test]
    fn an_instance_type_takes_the_place_of_cpu_and_memory() {
        let request = CreateContainerGroup {
            vswitch_ids: vec!["a".into(), "b".into()],
            schedule_strategy: ScheduleStrategy::VSwitchRandom,
            instance_type: Some("ecs.c6.xlarge".into()),
            ..smallest()
        };
        let lines = lines(&request);
        assert!(lines.contains(&"InstanceType=ecs.c6.xlarge".to_owned()));
        assert!(lines.contains(&"ScheduleStrategy=VSwitchRandom".to_owned()));
        assert!(
            !lines
                .iter()
                .any(|line| line.starts_with("Cpu=") || line.starts_with("Memory="))
        );
    }

    #[test]
    fn the_form_holds_the_same_pairs() {
        let request = CreateContainerGroup {
            tags: vec![("a b".into(), "*~+/=中".into())],
            containers: vec![Container {
                name: "c1".into(),
                image: "nginx:1.25".into(),
                ..Default::default()
            }],
            ..smallest()
        };
        let decoded: Vec<(String, String)> = form_urlencoded::parse(create_form(&request).as_bytes())
            .into_owned()
            .collect();
        assert_eq!(decoded, create_params(&request));
    }
}
