//! The API server in memory, held to the cases that the real one passes in the end-to-end suite.

use crate::support::api_cases::{self, Bed};
use crate::support::api_server::ApiServer;

fn bed(server: &ApiServer) -> Bed {
    Bed {
        client: server.client_of("a user"),
        namespace: "default".to_owned(),
        node: "a-node".to_owned(),
    }
}

macro_rules! against_the_one_in_memory {
    ($($case:ident,)*) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $case() {
                let bed = bed(&ApiServer::new());
                bed.prepare().await;
                api_cases::$case(&bed).await;
                bed.clean_up().await;
            }
        )*
    };
}

api_cases::each_case!(against_the_one_in_memory);

#[tokio::test(start_paused = true)]
async fn a_forgotten_version_is_expired() {
    let server = ApiServer::new();
    let bed = bed(&server);
    bed.prepare().await;
    server.compact();
    api_cases::a_forgotten_version_is_expired(&bed).await;
}
