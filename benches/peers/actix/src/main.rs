//! The actix-web peer: the five routes as an actix-web user would write them, each through
//! `web::block`. The first line that it prints is its address.
//!
//! The number of workers is actix-web's default, one for each CPU. Each worker has a pool of its
//! own, so each gets its share of the threads that may block.

use actix_web::error::{ErrorInternalServerError, ErrorNotFound};
use actix_web::rt::System;
use actix_web::{App, Error, HttpResponse, HttpServer, web};
use clap::Parser;
use peer_work::Settings;
use peer_work::database::{self, Note, User};
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;

#[derive(Parser)]
#[command(about = "actix-web + web::block, to compare Pontoon with")]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

fn main() -> ExitCode {
    match System::new().block_on(serve(Arguments::parse().settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even that cannot be written there is nobody to tell.
            let _ = writeln!(io::stderr(), "peer-actix: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: Settings) -> io::Result<()> {
    let workers = thread::available_parallelism()?.get();
    let threads_per_worker = settings.threads.div_ceil(workers);
    let settings = web::Data::new(settings);
    let app = move || {
        App::new()
            .app_data(settings.clone())
            .route("/noop", web::get().to(noop))
            .route("/sleep", web::get().to(sleep))
            .route("/cpu", web::get().to(cpu))
            .route("/users/{id}", web::get().to(user))
            .route("/notes", web::post().to(add_note))
    };
    let server = HttpServer::new(app)
        .workers(workers)
        .worker_max_blocking_threads(threads_per_worker)
        // As the others.
        .tcp_nodelay(true)
        .bind("127.0.0.1:0")?;
    for address in server.addrs() {
        peer_work::announce(address)?;
    }
    server.run().await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    web::block(work).await.map_err(ErrorInternalServerError)
}

async fn noop() -> Result<&'static str, Error> {
    blocking(peer_work::noop).await
}

async fn sleep() -> Result<&'static str, Error> {
    blocking(peer_work::sleep).await
}

async fn cpu(settings: web::Data<Settings>) -> Result<String, Error> {
    blocking(move || peer_work::spin(settings.spin_rounds)).await
}

async fn user(settings: web::Data<Settings>, id: web::Path<i64>) -> Result<web::Json<User>, Error> {
    let find = move || database::find_user(&settings.database, *id);
    match blocking(find).await? {
        Ok(Some(user)) => Ok(web::Json(user)),
        Ok(None) => Err(ErrorNotFound("no such user")),
        Err(error) => Err(ErrorInternalServerError(error)),
    }
}

async fn add_note(
    settings: web::Data<Settings>,
    note: web::Json<Note>,
) -> Result<HttpResponse, Error> {
    let add = move || database::add_note(&settings.database, &note);
    let added = blocking(add).await?;
    added.map_err(ErrorInternalServerError)?;
    Ok(HttpResponse::NoContent().finish())
}
