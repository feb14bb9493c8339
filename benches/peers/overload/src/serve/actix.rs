//! actix-web with a worker for each CPU, and `web::block`. Each worker has a pool of its own, so each gets
//! its share of the threads.

use super::{CONNECTIONS_MAX, KEEP_ALIVE_S, ServeArguments};
use crate::Outcome;
use crate::work::{Counts, Work};
use actix_web::error::ErrorInternalServerError;
use actix_web::rt::System;
use actix_web::{App, Error, HttpRequest, HttpServer, web};
use std::thread;
use std::time::Duration;

pub(super) fn serve(arguments: ServeArguments) -> Outcome {
    let workers = thread::available_parallelism()?.get();
    let threads = arguments.threads + arguments.other_threads;
    System::new().block_on(async {
        let app = || {
            App::new()
                .route("/work", web::get().to(work))
                .route("/other", web::get().to(|| blocking(Work::default())))
                .route("/counts", web::get().to(async || Counts::now().as_json()))
        };
        let server = HttpServer::new(app)
            .workers(workers)
            .worker_max_blocking_threads(threads.div_ceil(workers))
            .max_connections(CONNECTIONS_MAX)
            .keep_alive(Duration::from_secs(KEEP_ALIVE_S))
            .tcp_nodelay(true)
            .shutdown_timeout(arguments.stop_limit_ms.div_ceil(1_000))
            .bind("127.0.0.1:0")?;
        for address in server.addrs() {
            peer_work::announce(address)?;
        }
        Ok(server.run().await?)
    })
}

async fn work(request: HttpRequest) -> Result<&'static str, Error> {
    blocking(Work::from_query(request.query_string())).await
}

async fn blocking(work: Work) -> Result<&'static str, Error> {
    let outcome = web::block(move || work.run()).await;
    let outcome = outcome.map_err(ErrorInternalServerError)?;
    outcome.map_err(|_| ErrorInternalServerError("the library said no"))
}
