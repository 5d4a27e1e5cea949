//! What an agent of a node depends on in an API server, as cases that run against any: the one in memory is held against
//! the real one by them (`tests/sim/api_server.rs`, `tests/e2e/api_server.rs`).

mod bed;
mod deletes;
mod lists;
mod specs;
mod subresources;
mod writes;

pub use bed::Bed;
pub use deletes::*;
pub use lists::*;
pub use specs::*;
pub use subresources::*;
pub use writes::*;

/// Calls `$with!` with the name of every case but [`a_forgotten_version_is_expired`], which needs more.
macro_rules! each_case {
    ($with:ident) => {
        $with! {
            a_new_pod_is_filled_in,
            names_that_are_taken_or_missing_are_refused,
            an_outdated_write_is_refused,
            a_status_patch_merges_lists_by_their_keys,
            a_status_patch_changes_no_spec_and_no_owner,
            a_patch_without_effect_makes_no_version,
            a_status_patch_for_another_uid_is_refused,
            a_spec_changes_only_where_it_may,
            tolerations_are_added_and_never_taken_back,
            a_gated_pod_may_ask_more_of_nodes,
            a_grace_period_only_becomes_shorter,
            a_delete_for_another_uid_is_refused,
            what_never_ran_or_has_ended_goes_at_once,
            finalizers_hold_a_pod_back,
            a_forced_delete_is_seen_twice,
            a_bound_pod_appears_to_its_node,
            a_list_in_pages_is_of_one_moment,
            a_streamed_list_ends_in_a_bookmark,
            a_watch_goes_on_where_it_was,
            a_collection_is_deleted_by_label,
            an_eviction_asks_the_budget,
            a_token_is_bound_to_its_pod,
            a_nodes_conditions_are_merged,
        }
    };
}
pub(crate) use each_case;
