//! What kube-rs asks of a server, in process and through a socket.
//!
//! `FERROFLOW_TEST_KUBECONFIG` names another cluster for the cases that go through a socket; its
//! server must be reachable by http, as through `kubectl proxy`: `conformance/kube_rs.sh` does so. No case
//! knows which server it meets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod bed;
mod custom;
mod lifecycle;
mod read;
mod watch;
mod write;

macro_rules! cases {
    ($($module:ident: $($case:ident)+;)+) => {
        mod in_process {
            $($(
                #[tokio::test]
                async fn $case() {
                    let Some(bed) = crate::bed::Bed::in_process(stringify!($case)).await else { return };
                    crate::$module::$case(&bed).await;
                    bed.clear().await;
                }
            )+)+
        }

        mod through_a_socket {
            $($(
                #[tokio::test]
                async fn $case() {
                    let bed = crate::bed::Bed::through_a_socket(stringify!($case)).await;
                    crate::$module::$case(&bed).await;
                    bed.clear().await;
                }
            )+)+
        }
    };
}

cases! {
    read:
        a_list_selects_by_label_field_and_namespace
        a_metadata_list_carries_names_without_data
        pages_join_to_the_whole_list
        a_page_token_that_is_no_token_is_refused
        discovery_lists_groups_and_subresources;
    watch:
        a_watcher_that_lists_first_sees_what_was_there_and_what_comes
        a_watcher_that_streams_its_list_sees_what_was_there_and_what_comes
        a_watch_from_before_history_says_410_and_the_watcher_lists_anew
        a_watch_of_a_selection_deletes_what_leaves_it
        a_reflector_holds_what_a_list_shows;
    write:
        apply_owns_fields_and_names_the_other_manager_in_a_conflict
        apply_removes_what_its_manager_no_longer_says
        merge_patch_removes_with_null
        strategic_patch_merges_containers_by_name
        json_patch_tests_before_it_writes
        a_dry_run_answers_as_if_and_keeps_nothing
        a_stale_replace_is_a_conflict_and_a_same_one_changes_nothing
        a_name_is_generated_and_a_taken_one_is_refused
        strict_validation_names_the_unknown_field;
    lifecycle:
        a_background_deletion_takes_the_dependents_along
        a_foreground_deletion_goes_after_its_dependents
        an_orphaning_deletion_leaves_the_dependents_without_owner
        a_finalizer_holds_an_object_until_it_is_taken_off
        a_deletion_with_another_uid_is_a_conflict
        a_collection_is_deleted_by_selector
        a_namespace_goes_with_everything_in_it
        a_deployment_scales_through_its_subresource
        a_service_account_is_given_a_token
        a_command_runs_in_a_pod_where_there_is_a_node;
    custom:
        a_definition_is_established_and_its_objects_live_and_die
        a_custom_object_is_defaulted_pruned_and_validated
        a_custom_status_and_spec_are_written_apart
        a_custom_object_scales;
}
