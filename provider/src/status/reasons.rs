//! Reasons and messages: a kubelet's where it has one, else ACK's.

/// Waiting: nothing has happened yet.
pub const CONTAINER_CREATING: &str = "ContainerCreating";
/// Waiting: init containers come first.
pub const POD_INITIALIZING: &str = "PodInitializing";
/// Waiting: the container can never be created as it is.
pub const CREATE_CONTAINER_CONFIG_ERROR: &str = "CreateContainerConfigError";
/// Terminated with 0.
pub const COMPLETED: &str = "Completed";
/// Terminated with anything else.
pub const ERROR: &str = "Error";
/// Terminated, nobody knows how.
pub const CONTAINER_STATUS_UNKNOWN: &str = "ContainerStatusUnknown";
/// Exit code of such a container.
pub const LOST_EXIT_CODE: i32 = 137;
/// Message of such a container.
pub const LOST_MESSAGE: &str = "The container could not be located when the pod was terminated";
/// Pod: its spot resources were reclaimed.
pub const BID_FAILED: &str = "BidFailed";
/// Pod: its group could not be created.
pub const SCHEDULE_FAILED: &str = "ContainerInstanceScheduleFailed";
/// Pod: its group was refused, and nothing would make another try worth while.
pub const PROVIDER_FAILED: &str = "ProviderFailed";
/// Pod: its group is gone although nobody deleted the pod.
pub const GROUP_LOST: &str = "ContainerGroupLost";
/// Pod: `activeDeadlineSeconds` are over.
pub const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
/// Message of such a pod.
pub const DEADLINE_MESSAGE: &str = "Pod was active on the node longer than the specified deadline";
