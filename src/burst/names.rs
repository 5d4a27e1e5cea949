//! Labels, annotations and values by which pods come to the pool. ACK's where it has one; the others carry ACK's prefix for ECI.

/// ACK's label of pods and namespaces: `"true"` = on the pool, whatever else the pod says; `"false"` = not so because of the
/// namespace.
pub const ECI: &str = "alibabacloud.com/eci";
/// ACK's label or annotation of pods and namespaces: `eci` = workers first, then the pool; `eci_only` = the pool.
pub const BURST_RESOURCE: &str = "alibabacloud.com/burst-resource";
/// Label or annotation of pods and namespaces for the policies that ACK has no name for. Not one of ACK's.
pub const BURST_POLICY: &str = "k8s.aliyun.com/eci-burst-policy";
/// Annotation of pods and namespaces: how long the scheduler is left to find room on workers. Not one of ACK's.
pub const BURST_WAIT: &str = "k8s.aliyun.com/eci-burst-wait";
/// Scheduling gate by which a pod without a webhook waits until its policy is set. Not one of ACK's.
pub const GATE: &str = "k8s.aliyun.com/eci-burst";
/// Annotation of namespaces: pods that may be on virtual nodes at a time. Not one of ACK's.
pub const MAX_PODS: &str = "k8s.aliyun.com/eci-max-pods";
/// Annotation of namespaces: vCPU, as bought, that may be on virtual nodes at a time. Not one of ACK's.
pub const MAX_VCPU: &str = "k8s.aliyun.com/eci-max-vcpu";

/// Namespace whose pods are left alone: what a cluster needs to work must not depend on it.
pub const SYSTEM_NAMESPACE: &str = "kube-system";
