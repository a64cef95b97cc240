//! A wire between a client and the server that can be cut at a COMMIT.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::lab::Database;

/// Where the wire is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Cut {
    /// The server never sees the COMMIT.
    Before,
    /// The server carries it out, and its answer is lost.
    After,
}

/// A listener on a port of its own, for as long as the process lives.
pub(in crate::engine) struct Proxy {
    port: u16,
}

impl Proxy {
    /// Cuts the wire to a database at the `nth` commit of rows, from 1; connections after that go
    /// through, or are not taken any more.
    pub(in crate::engine) fn start<D: Database>(
        database: &D,
        cut: Cut,
        nth: usize,
        again: bool,
    ) -> Self {
        let (server, nth) = (database.port(), nth + D::COMMITS_BEFORE);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        thread::spawn(move || {
            for client in listener.incoming() {
                if done.load(Ordering::SeqCst) && !again {
                    continue;
                }
                let client = client.unwrap();
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                let (seen, done) = (Arc::clone(&seen), Arc::clone(&done));
                thread::spawn(move || carry(client, server, (D::COMMIT, cut, nth), &seen, &done));
            }
        });
        Self { port }
    }

    /// The port that clients come by.
    pub(in crate::engine) fn port(&self) -> u16 {
        self.port
    }
}

/// Carries bytes both ways until either side ends, or the wire is cut.
fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    (commit, cut, nth): (&[u8], Cut, usize),
    seen: &AtomicUsize,
    done: &Arc<AtomicBool>,
) {
    // Answers are dropped once this is set.
    let deaf = Arc::new(AtomicBool::new(false));
    let (mut back, mut out) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let (hears_not, ended) = (Arc::clone(&deaf), Arc::clone(done));
    let answers = thread::spawn(move || {
        let mut bytes = [0; 65536];
        while let Ok(count @ 1..) = back.read(&mut bytes) {
            if hears_not.load(Ordering::SeqCst) {
                // The COMMIT was answered: it is done.
                ended.store(true, Ordering::SeqCst);
                break;
            }
            if out.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = out.shutdown(Shutdown::Both);
        let _ = back.shutdown(Shutdown::Both);
    });
    let mut bytes = [0; 65536];
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        let chunk = &bytes[..count];
        let commits = chunk.windows(commit.len()).any(|window| window == commit);
        if commits && seen.fetch_add(1, Ordering::SeqCst) + 1 == nth {
            match cut {
                Cut::Before => {
                    done.store(true, Ordering::SeqCst);
                    break;
                }
                Cut::After => deaf.store(true, Ordering::SeqCst),
            }
        }
        if server.write_all(chunk).is_err() {
            break;
        }
    }
    // After the cut the server's answer is awaited; else both sides end.
    if !deaf.load(Ordering::SeqCst) {
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    }
    let _ = answers.join();
}
