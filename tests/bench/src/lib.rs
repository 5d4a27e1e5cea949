//! What the bench's two programs share: a client of the API server, a watch that decodes only what is asked for, and the
//! Node that a subject without an agent of its own needs.

pub mod follow;
pub mod kube_client;
pub mod node;
