//! What the benches share: programs that run beside them, what those use of the machine, and what machine it is.

pub mod daemon;
pub mod machine;
pub mod usage;
