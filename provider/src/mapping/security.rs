//! Security contexts: what ECI can do is mapped, what only tightens is weakened, what gives more rights is refused.

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Capabilities, Container, PodSecurityContext, SeccompProfile, SecurityContext, Sysctl,
};

use super::Context;
use super::rejection::Findings;
use crate::request::ContainerSecurity;

/// Capabilities a container runtime gives anyway: adding one changes nothing.
const DEFAULT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// Capabilities ECI can add, some of them by ticket.
const ADDABLE_CAPABILITIES: [&str; 4] = ["NET_ADMIN", "NET_RAW", "SYS_PTRACE", "SYS_RAWIO"];
/// Sysctls ECI's `SecurityContext.Sysctl` takes.
const SYSCTLS: [&str; 2] = ["net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start"];

/// The pod's own security context: only its sysctls reach ECI as such, the users and groups through each container.
pub(super) fn pod(context: &PodSecurityContext, findings: &mut Findings) -> Vec<(String, String)> {
    let PodSecurityContext {
        app_armor_profile,
        fs_group,
        fs_group_change_policy: _, // How `fsGroup` is applied; without effect as that is.
        run_as_group: _,           // Inherited by each container, see `container`.
        run_as_non_root: _,
        run_as_user: _,
        se_linux_change_policy: _, // How `seLinuxOptions` are applied.
        se_linux_options,
        seccomp_profile,
        supplemental_groups,
        supplemental_groups_policy,
        sysctls,
        windows_options,
    } = context;
    let path = "spec.securityContext";
    profiles(
        app_armor_profile.as_ref(),
        seccomp_profile.as_ref(),
        se_linux_options.is_some(),
        path,
        findings,
    );
    if fs_group.is_some() {
        findings.weaken(
            format!("{path}.fsGroup"),
            "files keep root's group; those of ConfigMaps, Secrets and tokens are readable by all users of the pod \
             instead",
        );
    }
    if supplemental_groups.as_ref().is_some_and(|groups| !groups.is_empty()) {
        findings.refuse(
            format!("{path}.supplementalGroups"),
            "ECI cannot add groups to a process; use runAsGroup, or groups of the image's user",
        );
    }
    if supplemental_groups_policy.as_deref() == Some("Strict") {
        findings.weaken(
            format!("{path}.supplementalGroupsPolicy"),
            "the image's own groups of the user are merged",
        );
    }
    findings.refuse_if_set(
        windows_options,
        format!("{path}.windowsOptions"),
        "this node runs Linux containers only",
    );
    sysctls
        .iter()
        .flatten()
        .enumerate()
        .filter_map(|(index, sysctl)| sysctl_pair(sysctl, index, findings))
        .collect()
}

fn sysctl_pair(sysctl: &Sysctl, index: usize, findings: &mut Findings) -> Option<(String, String)> {
    let Sysctl { name, value } = sysctl;
    // Kubernetes takes slashes as separators as well.
    let dotted = name.replace('/', ".");
    if SYSCTLS.contains(&dotted.as_str()) {
        return Some((dotted, value.clone()));
    }
    findings.refuse(
        format!("spec.securityContext.sysctls[{index}]"),
        format!(
            "`{name}` cannot be set here; ECI takes {} in a security context",
            SYSCTLS.join(" and ")
        ),
    );
    None
}

/// The security context of one container; what it leaves open it inherits from the pod.
pub(super) fn container(
    cx: &Context<'_>,
    container: &Container,
    is_init: bool,
    path: &str,
    findings: &mut Findings,
) -> ContainerSecurity {
    let own = container.security_context.clone().unwrap_or_default();
    let SecurityContext {
        allow_privilege_escalation,
        app_armor_profile,
        capabilities,
        privileged,
        proc_mount,
        read_only_root_filesystem,
        run_as_group,
        run_as_non_root,
        run_as_user,
        se_linux_options,
        seccomp_profile,
        windows_options,
    } = own;
    let path = format!("{path}.securityContext");
    if privileged == Some(true) {
        findings.refuse(
            format!("{path}.privileged"),
            "privileged containers are not offered by this node; add single capabilities, or run it on a worker node",
        );
    }
    if allow_privilege_escalation == Some(false) {
        findings.weaken(
            format!("{path}.allowPrivilegeEscalation"),
            "no_new_privs is not set; ECI has no parameter for it",
        );
    }
    if proc_mount.as_deref().is_some_and(|mount| mount != "Default") {
        findings.refuse(
            format!("{path}.procMount"),
            "ECI masks /proc as usual; leave it at Default",
        );
    }
    findings.refuse_if_set(
        &windows_options,
        format!("{path}.windowsOptions"),
        "this node runs Linux containers only",
    );
    profiles(
        app_armor_profile.as_ref(),
        seccomp_profile.as_ref(),
        se_linux_options.is_some(),
        &path,
        findings,
    );

    let pod = cx.spec.security_context.as_ref();
    let run_as_user = run_as_user.or(pod.and_then(|pod| pod.run_as_user));
    let mut run_as_group = run_as_group.or(pod.and_then(|pod| pod.run_as_group));
    let mut run_as_non_root = run_as_non_root.or(pod.and_then(|pod| pod.run_as_non_root));
    if run_as_non_root == Some(true) && run_as_user == Some(0) {
        findings.invalid(
            format!("{path}.runAsNonRoot"),
            "runAsUser is 0: container's runAsUser breaks non-root policy",
        );
    }
    if is_init {
        // Init containers lack these two parameters.
        if run_as_group.take().is_some() {
            findings.weaken(
                format!("{path}.runAsGroup"),
                "ECI runs init containers with the image's group",
            );
        }
        if run_as_non_root.take() == Some(true) && run_as_user.is_none() {
            findings.weaken(
                format!("{path}.runAsNonRoot"),
                "ECI does not check the user of init containers",
            );
        }
    }
    ContainerSecurity {
        run_as_user,
        run_as_group,
        run_as_non_root,
        read_only_root_filesystem: read_only_root_filesystem == Some(true),
        add_capabilities: capabilities
            .map(|caps| capability_adds(&caps, &path, findings))
            .unwrap_or_default(),
    }
}

fn capability_adds(capabilities: &Capabilities, path: &str, findings: &mut Findings) -> Vec<String> {
    let Capabilities { add, drop } = capabilities;
    if drop.as_ref().is_some_and(|drop| !drop.is_empty()) {
        findings.weaken(
            format!("{path}.capabilities.drop"),
            "the runtime's default capabilities stay; ECI can only add",
        );
    }
    let mut sent = Vec::new();
    for (index, name) in add.iter().flatten().enumerate() {
        let bare = name.strip_prefix("CAP_").unwrap_or(name);
        if ADDABLE_CAPABILITIES.contains(&bare) {
            sent.push(bare.to_owned());
        } else if !DEFAULT_CAPABILITIES.contains(&bare) {
            findings.refuse(
                format!("{path}.capabilities.add[{index}]"),
                format!(
                    "`{name}` is not offered by ECI; it can add {}",
                    ADDABLE_CAPABILITIES.join(", ")
                ),
            );
        }
    }
    sent
}

/// Profiles of the node's kernel: without parameter, and they only take rights away.
fn profiles(
    app_armor: Option<&AppArmorProfile>,
    seccomp: Option<&SeccompProfile>,
    se_linux: bool,
    path: &str,
    findings: &mut Findings,
) {
    if let Some(AppArmorProfile {
        localhost_profile: _,
        type_,
    }) = app_armor
        && type_ != "Unconfined"
    {
        findings.weaken(format!("{path}.appArmorProfile"), "ECI has no AppArmor profiles");
    }
    if let Some(SeccompProfile {
        localhost_profile: _,
        type_,
    }) = seccomp
        && type_ != "Unconfined"
    {
        findings.weaken(
            format!("{path}.seccompProfile"),
            "ECI has no parameter for seccomp profiles",
        );
    }
    if se_linux {
        findings.weaken(format!("{path}.seLinuxOptions"), "ECI has no SELinux labels");
    }
}
