//! Burst: which pods may run on the pool, and when (docs/burst.md, docs/decisions/0019-ways-onto-the-pool.md).
//!
//! ```text
//! pod, namespace, eci-profile, setting ──► policy (pure) ──► mutate (pure) ──► at creation: the webhook
//!                                                        │                 └─► later: overflow ──► patch of the pod
//! pods without a node ──► watch ──► overflow: queue (pure) ──► feasible (pure), caps ──┘
//! ```
//!
//! To read it in order: [`policy`], [`profile`] and [`mutate`] say what should be; [`queue`] and [`feasible`] who is next and
//! whether the pool would take it.

pub mod feasible;
pub mod mutate;
pub mod names;
pub mod policy;
pub mod profile;
pub mod queue;
