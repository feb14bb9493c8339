//! TCP and Unix streams.

use super::run;
use crate::event_loop::{TcpListener, TcpStream, UnixListener, UnixStream, spawn};
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use std::net::{Ipv4Addr, SocketAddr};

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let mut buffer = [0; 1000];
    loop {
        match stream.read(&mut buffer).await.unwrap() {
            0 => return stream.close().await.unwrap(),
            count => stream.write_all(&buffer[..count]).await.unwrap(),
        }
    }
}

/// More than both sockets' buffers hold, so that both directions must wait.
async fn gets_back_what_it_sends<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S) {
    const BYTES: usize = 8 << 20;
    let (mut reader, mut writer) = futures_lite::io::split(stream);
    let sending = spawn(async move {
        let bytes: Vec<_> = (0..BYTES).map(|n| (n % 251) as u8).collect();
        writer.write_all(&bytes).await.unwrap();
        writer.close().await.unwrap();
    });
    let mut back = Vec::new();
    reader.read_to_end(&mut back).await.unwrap();
    sending.await;
    assert_eq!(back.len(), BYTES);
    assert!(
        back.iter()
            .enumerate()
            .all(|(n, byte)| *byte == (n % 251) as u8)
    );
}

#[test]
fn a_tcp_connection_echoes_more_than_its_buffers_hold() {
    run(async {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(any).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            echo(TcpStream::from_mio(stream).unwrap()).await;
        });
        gets_back_what_it_sends(TcpStream::connect(address).await.unwrap()).await;
        serving.await;
    });
}

#[test]
fn a_unix_connection_echoes_more_than_its_buffers_hold() {
    run(async {
        let directory = std::env::temp_dir();
        let path = directory.join(format!("pontoon-echo-{}.sock", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let stream = UnixStream::connect(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let serving = spawn(async move {
            let stream = listener.accept().await.unwrap();
            echo(UnixStream::from_mio(stream).unwrap()).await;
        });
        gets_back_what_it_sends(stream).await;
        serving.await;
    });
}

#[test]
fn connecting_where_nobody_listens_is_an_error() {
    run(async {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let address = TcpListener::bind(any).unwrap().local_addr().unwrap();
        let error = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    });
}
