//! Every store behind the whole layer: what a client can do with its ticket and what it cannot, what requests at the same time do
//! to each other, and what is asked of the store. Each scenario is written once and runs on each store.
#![cfg(feature = "tokio")]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

#[path = "support/client.rs"]
mod client;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/map_store.rs"]
mod map_store;
#[cfg(feature = "redis")]
#[path = "support/redis_server.rs"]
mod redis_server;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
#[path = "support/sql_servers.rs"]
mod sql_servers;
#[path = "support/stores.rs"]
mod stores;
mod support;

#[path = "stores/costs.rs"]
mod costs;
#[path = "stores/dump.rs"]
mod dump;
#[path = "stores/ends.rs"]
mod ends;
#[path = "stores/failures.rs"]
mod failures;
#[path = "stores/identity.rs"]
mod identity;
#[path = "stores/owners.rs"]
mod owners;
#[path = "stores/places.rs"]
mod places;
#[path = "stores/together.rs"]
mod together;
#[path = "stores/world.rs"]
mod world;

/// A test of each scenario on each store, named as `row_1_an_unknown_ticket_is_never_adopted::on_redis`.
macro_rules! scenarios {
    ($($file:ident: $($scenario:ident)*;)*) => { $($(
        mod $scenario {
            use crate::{$file::$scenario as scenario, places::Kind, world::World};

            async fn on(kind: Kind) {
                if let Some(world) = World::new(kind).await {
                    scenario(&world).await;
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_a_map() {
                on(Kind::Map).await;
            }

            #[cfg(feature = "memory")]
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_memory() {
                on(Kind::Memory).await;
            }

            #[cfg(feature = "sqlite")]
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                on(Kind::Sqlite).await;
            }

            #[cfg(feature = "postgres")]
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                on(Kind::Postgres).await;
            }

            #[cfg(feature = "mysql")]
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_mariadb() {
                on(Kind::MariaDb).await;
            }

            #[cfg(feature = "redis")]
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_redis() {
                on(Kind::Redis).await;
            }

            #[cfg(feature = "redis")]
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_a_redis_cluster() {
                on(Kind::Cluster).await;
            }
        }
    )*)* };
}

scenarios! {
    costs:
        row_26_what_is_no_ticket_never_reaches_the_store
        row_27_visitors_who_only_look_ask_and_fill_nothing
        rule_1_each_request_takes_as_many_steps_as_it_needs
        rule_6_a_use_prolongs_at_most_once_in_an_interval;
    ends:
        row_3_a_destroyed_session_never_loads
        row_4_a_request_that_is_slower_than_a_logout_brings_nothing_back
        row_25_a_changed_password_ends_the_other_sessions
        row_25_an_epoch_ends_everybodys_sessions
        row_32_a_forged_ticket_ends_nothing
        row_36_an_expired_session_never_loads_before_it_is_cleaned_up;
    failures:
        row_34_a_store_that_fails_is_not_an_empty_session
        row_34_a_step_whose_answer_was_lost_sends_no_cookie
        row_35_a_renewal_that_breaks_off_leaves_one_good_ticket;
    identity:
        row_1_an_unknown_ticket_is_never_adopted
        row_2_after_renew_the_old_ticket_reads_empty_and_the_data_stays
        row_5_a_stolen_store_opens_no_session
        row_7_a_collision_takes_nobodys_session
        row_16_a_ticket_is_worth_nothing_in_another_layer
        row_37_the_old_ticket_harms_the_new_one_in_no_way
        row_38_a_session_is_bound_to_no_header
        rule_19_a_slow_request_across_a_renewal_writes_nothing;
    owners:
        fault_a1_owners_are_those_of_an_application
        fault_a2_a_login_that_is_overtaken_by_another_one_begins_a_session_of_its_own
        fault_a2_a_ticket_that_was_renewed_is_a_visitors_after_two_minutes
        fault_a6_an_end_of_all_leaves_no_login_that_was_on_its_way
        fault_a6_an_epoch_leaves_no_login_that_was_on_its_way
        fault_a6_while_16_clients_log_in_without_pause_an_end_leaves_nothing
        fault_a15_a_visitors_session_lives_for_a_day_and_a_users_longer
        fault_b13_owners_and_labels_have_at_most_1024_bytes
        fault_f2_a_limit_holds_for_logins_at_once
        fault_f2_a_limit_holds_in_two_processes;
    together:
        rule_9_of_200_requests_at_the_same_time_each_keeps_its_change
        rule_19_of_logins_at_the_same_time_each_has_a_session_of_its_own
        update_of_1000_increments_by_two_loses_none;
}

/// What `fault_f2_a_limit_holds_in_two_processes` starts as another process. By itself it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_process_logs_in() {
    owners::other_process().await;
}

/// What `update_of_1000_increments_by_two_loses_none` starts as another process. By itself it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_process() {
    together::other_process().await;
}
