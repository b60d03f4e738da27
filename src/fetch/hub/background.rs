//! Waiting for the network on another thread, so that Ctrl-C is heard while a server keeps silent.
//!
//! A thread that nobody waits for any longer ends at its next timeout.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::error::HubError;
use crate::progress::{Interrupted, Progress};

/// How long Ctrl-C may go unheard.
pub(super) const HEARING: Duration = Duration::from_millis(50);
/// How much is handed over, written and reported at once.
const CHUNK: usize = 256 << 10;
/// How old bytes of a slow server may become before they are handed over.
const LATEST: Duration = Duration::from_millis(200);

/// Runs `work` elsewhere and waits for its result.
pub(super) fn wait_for<T: Send + 'static>(
    progress: &dyn Progress,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, HubError> {
    let results = spawn(move |results| {
        // Nobody waits any longer if this fails.
        let _ = results.send(work());
    })?;
    receive(&results, progress)?.ok_or_else(|| HubError::io("a thread".as_ref())(io::ErrorKind::Other.into()))
}

/// The bytes of a reader that is read elsewhere.
pub(super) struct Chunks(Receiver<io::Result<Vec<u8>>>);

impl Chunks {
    /// Begins to read.
    pub(super) fn of(mut reader: impl Read + Send + 'static) -> Result<Self, HubError> {
        spawn(move |chunks: &SyncSender<io::Result<Vec<u8>>>| {
            let mut buffer = vec![0; CHUNK];
            loop {
                let (filled, end) = fill(&mut reader, &mut buffer);
                // What came before an error is sent before the error.
                if filled > 0 && chunks.send(Ok(buffer[..filled].to_vec())).is_err() {
                    return;
                }
                match end {
                    None => {}
                    Some(Ok(())) => return,
                    Some(Err(error)) => {
                        let _ = chunks.send(Err(error));
                        return;
                    }
                }
            }
        })
        .map(Self)
    }

    /// The next bytes; `None` at the end.
    pub(super) fn next(&self, progress: &dyn Progress) -> Result<Option<io::Result<Vec<u8>>>, HubError> {
        receive(&self.0, progress)
    }
}

/// Reads until the buffer is full or [`LATEST`] is over; says how much came, and how the reader ended if it did.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> (usize, Option<io::Result<()>>) {
    let begin = Instant::now();
    let mut filled = 0;
    while filled < buffer.len() && (filled == 0 || begin.elapsed() < LATEST) {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => return (filled, Some(Ok(()))),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Some(Err(error))),
        }
    }
    (filled, None)
}

fn spawn<T: Send + 'static>(work: impl FnOnce(&SyncSender<T>) + Send + 'static) -> Result<Receiver<T>, HubError> {
    let (sender, receiver) = sync_channel(4);
    let thread = thread::Builder::new().name("hub".to_owned());
    thread.spawn(move || work(&sender)).map_err(HubError::io("a thread".as_ref()))?;
    Ok(receiver)
}

/// The next thing of a channel; `None` when the other side is done.
fn receive<T>(from: &Receiver<T>, progress: &dyn Progress) -> Result<Option<T>, HubError> {
    loop {
        if progress.cancelled() {
            return Err(Interrupted.into());
        }
        match from.recv_timeout(HEARING) {
            Ok(thing) => return Ok(Some(thing)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
    }
}

/// Sleeps, but hears Ctrl-C.
pub(super) fn sleep(time: Duration, progress: &dyn Progress) -> Result<(), HubError> {
    let mut left = time;
    while !left.is_zero() {
        if progress.cancelled() {
            return Err(Interrupted.into());
        }
        let step = left.min(HEARING);
        thread::sleep(step);
        left -= step;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    struct Fails(usize);

    impl Read for Fails {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let read = self.0.min(buffer.len());
            self.0 -= read;
            Ok(read)
        }
    }

    #[test]
    fn bytes_before_an_error_are_not_lost() {
        for (length, fails) in [(0, false), (CHUNK * 3 + 5, false), (0, true), (CHUNK + 7, true)] {
            let chunks = if fails {
                Chunks::of(Fails(length)).unwrap()
            } else {
                Chunks::of(io::repeat(0).take(length as u64)).unwrap()
            };
            let mut got = 0;
            let mut failed = false;
            while let Some(chunk) = chunks.next(&Silent).unwrap() {
                match chunk {
                    Ok(bytes) => got += bytes.len(),
                    Err(_) => failed = true,
                }
            }
            assert_eq!((got, failed), (length, fails));
        }
    }

    #[test]
    fn silence_can_be_broken_off() {
        struct Stop;
        impl Progress for Stop {
            fn begin(&self, _: &str, _: u64, _: &str) {}
            fn advance(&self, _: u64) {}
            fn note(&self, _: &str) {}
            fn cancelled(&self) -> bool {
                true
            }
        }
        let slow = || thread::sleep(Duration::from_mins(1));
        assert!(matches!(wait_for(&Stop, slow), Err(HubError::Interrupted(_))));
        assert!(matches!(sleep(Duration::from_mins(1), &Stop), Err(HubError::Interrupted(_))));
        assert_eq!(wait_for(&Silent, || 7).unwrap(), 7);
    }
}
