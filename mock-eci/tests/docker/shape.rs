//! What a container finds when it runs: network, files, environment, command.

use bollard::query_parameters::CommitContainerOptionsBuilder;
use bytes::Bytes;
use mock_eci::{
    runtime::Runtime,
    spec::{
        ConfigFile, ContainerSpec, Dns, EnvValue, EnvVar, HostAlias, Mount, PullPolicy, Secret, VolumeSource,
        VolumeSpec,
    },
};

use crate::bed::{empty_dir, engine, group, image, on_bed, shell};

fn mount(volume: &str, path: &str) -> Mount {
    Mount {
        volume: volume.into(),
        path: path.into(),
        ..Default::default()
    }
}

#[test]
fn containers_of_a_group_share_network_and_volumes() {
    on_bed(async |mut bed| {
        let mut server = shell(
            "server",
            "echo from-server >/data/file; chmod 600 /data/file; nc -l -p 8080 -e echo hello",
        );
        server.mounts = vec![mount("disk", "/data"), mount("memory", "/shm")];
        let mut client = shell(
            "client",
            "until nc 127.0.0.1 8080 </dev/null; do sleep 0.1; done; cat /other/file; grep ' /shm ' /proc/mounts; ls -ld /other /shm",
        );
        client.mounts = vec![mount("disk", "/other"), mount("memory", "/shm")];
        let mut spec = group(vec![server, client]);
        spec.volumes = vec![empty_dir("disk", false), empty_dir("memory", true)];
        bed.launch(spec).await;
        bed.start("server", 0).await;
        let output = bed.output("client").await;
        assert!(output.starts_with("hello\nfrom-server\ntmpfs /shm tmpfs"), "{output}");
        assert!(output.contains("size=16384k"), "{output}");
        assert_eq!(output.matches("drwxrwxrwx").count(), 2, "{output}");
    });
}

#[test]
fn parts_of_volumes_can_be_mounted() {
    on_bed(async |mut bed| {
        let mut main = shell("main", "echo x >/disk/f && cat /config.txt && ls /all/deep/er /memory");
        main.mounts = vec![
            Mount {
                sub_path: "deep/er".into(),
                ..mount("disk", "/disk")
            },
            mount("disk", "/all"),
            Mount {
                sub_path: "a.txt".into(),
                ..mount("files", "/config.txt")
            },
            Mount {
                sub_path: "part".into(),
                ..mount("memory", "/memory")
            },
        ];
        let mut spec = group(vec![main]);
        let file = ConfigFile {
            path: "a.txt".into(),
            content: Bytes::from_static(b"content\n"),
            mode: 0o644,
        };
        let files = VolumeSpec {
            name: "files".into(),
            source: VolumeSource::ConfigFile { files: vec![file] },
        };
        spec.volumes = vec![empty_dir("disk", false), files, empty_dir("memory", true)];
        bed.launch(spec).await;
        assert_eq!(bed.output("main").await, "content\n/all/deep/er:\nf\n\n/memory:\n");
    });
}

#[test]
fn config_files_have_their_modes_and_cannot_be_written() {
    on_bed(async |mut bed| {
        let mut main = shell(
            "main",
            "cd /etc/app && stat -c '%a %n' plain sub/script && cat plain && sub/script && ! echo x 2>/dev/null >plain",
        );
        main.mounts = vec![mount("files", "/etc/app")];
        let file = |path: &str, content: &'static [u8], mode| ConfigFile {
            path: path.into(),
            content: content.into(),
            mode,
        };
        let files = vec![
            file("plain", b"line\n", 0o640),
            file("sub/script", b"#!/bin/sh\necho ran\n", 0o755),
        ];
        let mut spec = group(vec![main]);
        spec.volumes = vec![VolumeSpec {
            name: "files".into(),
            source: VolumeSource::ConfigFile { files },
        }];
        bed.launch(spec).await;
        assert_eq!(bed.output("main").await, "640 plain\n755 sub/script\nline\nran\n");
    });
}

#[test]
fn the_environment_knows_the_groups_address() {
    on_bed(async |mut bed| {
        let mut main = shell("main", "echo \"$IP $PLAIN\"; ip -4 addr show eth0 | grep -c \" $IP/\"");
        let env = |name: &str, value| EnvVar {
            name: name.into(),
            value,
        };
        main.env = vec![
            env("IP", EnvValue::PodIp),
            env("PLAIN", EnvValue::Literal(Secret("a b=c".into()))),
        ];
        let ip = bed.launch(group(vec![main])).await;
        assert_eq!(bed.output("main").await, format!("{ip} a b=c\n1\n"));
    });
}

#[test]
fn arguments_alone_keep_the_images_entrypoint() {
    on_bed(async |mut bed| {
        // An image with an entrypoint of its own, made from a container of this group.
        let mut args = shell("args", "");
        args.command = Vec::new();
        args.args = vec!["given".into()];
        let mut command = args.clone();
        command.name = "command".into();
        command.command = vec!["echo".into(), "own".into()];
        command.args = Vec::new();
        let mut neither = command.clone();
        neither.name = "neither".into();
        neither.command = Vec::new();
        let tag = bed.config.owner.clone();
        let made = format!("localhost/mock-eci-{tag}:1");
        for container in [&mut args, &mut command, &mut neither] {
            container.image = made.clone();
            container.pull_policy = PullPolicy::Never;
        }
        bed.launch(group(vec![shell("base", "true"), args, command, neither]))
            .await;
        bed.output("base").await;
        let docker = engine().await;
        let options = CommitContainerOptionsBuilder::default()
            .container(&format!("{}_base_0", bed.group))
            .repo(&format!("localhost/mock-eci-{tag}"))
            .tag("1")
            .changes("ENTRYPOINT [\"echo\",\"entry\"]\nCMD [\"default\"]")
            .build();
        docker
            .commit_container(options, bollard::models::ContainerConfig::default())
            .await
            .unwrap();
        let outputs = [
            bed.output("args").await,
            bed.output("command").await,
            bed.output("neither").await,
        ];
        bed.runtime.reset().await.unwrap();
        docker
            .remove_image(&made, None::<bollard::query_parameters::RemoveImageOptions>, None)
            .await
            .unwrap();
        assert_eq!(outputs, ["entry given\n", "own\n", "entry default\n"]);
    });
}

#[test]
fn hosts_dns_and_host_name_are_the_groups_in_every_container() {
    on_bed(async |mut bed| {
        let script = "hostname; grep -v '^#' /etc/resolv.conf | sort; cat /etc/hosts";
        let mut spec = group(vec![shell("a", script), shell("b", script)]);
        spec.dns = Dns::None {
            name_servers: vec!["10.96.0.10".into()],
            searches: vec!["default.svc.cluster.local".into(), "cluster.local".into()],
            options: vec![("ndots".into(), "5".into())],
        };
        spec.host_aliases = vec![HostAlias {
            ip: "172.31.0.20".parse().unwrap(),
            host_names: vec!["one.test".into(), "two.test".into()],
        }];
        let ip = bed.launch(spec).await;
        for container in ["a", "b"] {
            let output = bed.output(container).await;
            assert!(output.starts_with("test-host\n"), "{output}");
            for line in [
                "nameserver",
                "options ndots:5",
                "search default.svc.cluster.local cluster.local",
            ] {
                assert!(output.contains(line), "{line} is missing: {output}");
            }
            let hosts: Vec<Vec<&str>> = output.lines().map(|line| line.split_whitespace().collect()).collect();
            let has = |ip: &str, name: &str| {
                hosts
                    .iter()
                    .any(|line| line.first() == Some(&ip) && line[1..].contains(&name))
            };
            assert!(
                has("172.31.0.20", "one.test") && has("172.31.0.20", "two.test"),
                "{output}"
            );
            assert!(has(&ip.to_string(), "test-host"), "{output}");
        }
    });
}

#[test]
fn user_working_directory_and_read_only_root_are_obeyed() {
    on_bed(async |mut bed| {
        let mut main = shell(
            "main",
            "id -u; id -g; pwd; touch /x 2>/dev/null || echo read-only; echo w >/data/f && cat /data/f",
        );
        main.working_dir = "/tmp".into();
        main.security.run_as_user = Some(185);
        main.security.run_as_group = Some(7);
        main.security.run_as_non_root = true;
        main.security.read_only_root = true;
        main.mounts = vec![mount("data", "/data")];
        let mut spec = group(vec![main]);
        spec.volumes = vec![empty_dir("data", false)];
        bed.launch(spec).await;
        assert_eq!(bed.output("main").await, "185\n7\n/tmp\nread-only\nw\n");
    });
}

#[test]
fn routes_are_added_to_the_groups_network() {
    on_bed(async |mut bed| {
        let ip = bed
            .launch(group(vec![shell("first", "ip route | awk '/^default/ {print $3}'")]))
            .await;
        let gateway = bed.output("first").await;
        let gateway = gateway.trim();
        assert!(
            gateway.parse::<std::net::IpAddr>().is_ok(),
            "the network of {ip} has no gateway: {gateway:?}"
        );
        bed.config.routes = vec![format!("192.0.2.0/24={gateway}").parse().unwrap()];
        let mut bed = bed.restarted().await;
        bed.group = format!("{}x", bed.group).into();
        bed.launch(group(vec![shell("main", "ip route show 192.0.2.0/24")]))
            .await;
        let output = bed.output("main").await;
        assert!(output.starts_with(&format!("192.0.2.0/24 via {gateway}")), "{output}");
    });
}

#[test]
fn a_missing_image_is_an_image_pull_error() {
    on_bed(async |mut bed| {
        let missing = |name: &str, image: &str, pull_policy| ContainerSpec {
            name: name.into(),
            image: image.into(),
            pull_policy,
            ..Default::default()
        };
        let never = "localhost/virtual-node/never-made:1";
        bed.launch(group(vec![
            missing("pull", "localhost:1/no/such:1", PullPolicy::IfNotPresent),
            missing("never", never, PullPolicy::Never),
            missing("invalid", "http://no image", PullPolicy::Always),
            missing("present", &image(), PullPolicy::Never),
        ]))
        .await;
        let (reason, message) = bed.start_fails("pull").await;
        assert_eq!(reason, "ErrImagePull");
        assert!(message.contains("localhost:1/no/such:1"), "{message}");
        assert_eq!(bed.start_fails("never").await.0, "ErrImageNeverPull");
        assert_eq!(bed.start_fails("invalid").await.0, "InvalidImageName");
        bed.start("present", 0).await;
    });
}

#[test]
fn an_error_of_the_engine_quotes_no_environment() {
    on_bed(async |mut bed| {
        let mut main = shell("main", "true");
        main.command = vec!["/no/such/very-secret-value".into()];
        main.env = vec![EnvVar {
            name: "TOKEN".into(),
            value: EnvValue::Literal(Secret("very-secret-value".into())),
        }];
        bed.launch(group(vec![main])).await;
        let (reason, message) = bed.start_fails("main").await;
        assert_eq!(reason, "RunContainerError");
        assert!(
            message.contains("/no/such/") && !message.contains("very-secret-value"),
            "{message}"
        );
    });
}

#[test]
fn a_terminal_has_a_log_too() {
    on_bed(async |mut bed| {
        let mut main = shell("main", "tty; echo two; printf end");
        main.tty = true;
        main.stdin = true;
        bed.launch(group(vec![main])).await;
        let output = bed.output("main").await;
        let lines: Vec<&str> = output.lines().map(str::trim_end).collect();
        assert!(lines[0].starts_with("/dev/"), "{output:?}");
        assert_eq!(lines[1..], ["two", "end"], "{output:?}");
    });
}

#[test]
fn sysctls_and_the_process_namespace_are_the_groups() {
    on_bed(async |mut bed| {
        let one = shell("one", "exec sleep 601");
        let two = shell(
            "two",
            "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; until ps -o args | grep -qx 'sleep 601'; do sleep 0.1; done",
        );
        let mut spec = group(vec![one, two]);
        spec.sysctls = vec![("net.ipv4.ip_unprivileged_port_start".into(), "80".into())];
        spec.share_process_namespace = true;
        bed.launch(spec).await;
        bed.start("one", 0).await;
        assert_eq!(bed.output("two").await, "80\n");
    });
}

#[test]
fn added_capabilities_are_added() {
    on_bed(async |mut bed| {
        let script = "grep CapEff /proc/self/status | awk '{print $2}'";
        let plain = shell("plain", script);
        let mut admin = shell("admin", script);
        admin.security.add_capabilities = vec!["NET_ADMIN".into()];
        bed.launch(group(vec![plain, admin])).await;
        let mut all = Vec::new();
        for name in ["plain", "admin"] {
            let output = bed.output(name).await;
            all.push(u64::from_str_radix(output.trim(), 16).unwrap());
        }
        let (net_admin, sys_admin) = (1 << 12, 1 << 21);
        assert_eq!(all[0] & (net_admin | sys_admin), 0, "{all:x?}");
        assert_eq!(all[1], all[0] | net_admin, "{all:x?}");
    });
}

#[test]
fn a_container_has_its_own_limits_or_the_groups() {
    on_bed(async |mut bed| {
        // The two versions of control groups.
        let script = "cd /sys/fs/cgroup; cat memory.max cpu.max 2>/dev/null || \
            cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us";
        let mut own = shell("own", script);
        own.size = mock_eci::spec::Size {
            milli_cpu: 250,
            memory_mib: 64,
        };
        bed.launch(group(vec![own, shell("shared", script)])).await;
        for (name, memory, quota) in [("own", 64_u64 << 20, 25_000), ("shared", 256 << 20, 100_000)] {
            let output = bed.output(name).await;
            let numbers: Vec<u64> = output.split_whitespace().map(|n| n.parse().unwrap()).collect();
            assert_eq!(numbers, [memory, quota, 100_000], "{name}");
        }
    });
}

#[test]
fn who_must_not_be_root_is_not() {
    on_bed(async |mut bed| {
        let mut root = shell("root", "id -u");
        root.security.run_as_non_root = true;
        let mut user = shell("user", "id -u; id -g");
        user.security.run_as_non_root = true;
        user.security.run_as_user = Some(1000);
        let mut grouped = shell("grouped", "id -u; id -g");
        grouped.security.run_as_group = Some(7);
        bed.launch(group(vec![root, user, grouped])).await;
        let (reason, message) = bed.start_fails("root").await;
        assert_eq!(
            (reason.as_str(), message.as_str()),
            (
                "CreateContainerConfigError",
                "container has runAsNonRoot and image will run as root"
            )
        );
        assert_eq!(bed.output("user").await, "1000\n0\n");
        assert_eq!(bed.output("grouped").await, "0\n7\n");
    });
}
