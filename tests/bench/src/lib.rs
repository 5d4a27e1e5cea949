//! What the bench's programs share: a client of the API server, a watch that decodes only what is asked for, and the Node
//! that a subject without an agent of its own needs; programs that run beside them, and what those use of the machine.

pub mod daemon;
pub mod follow;
pub mod kube_client;
pub mod machine;
pub mod node;
pub mod usage;
