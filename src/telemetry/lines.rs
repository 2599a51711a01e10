//! Lines of the log on their way to standard error: who tells something in passing does not wait until it is written out.
//!
//! A thread writes out what has gathered. Warnings and errors are written out before whoever tells them goes on, with all
//! that was told before them, so nothing of weight is lost however the process ends.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long lines gather before they are written out.
const GATHER: Duration = Duration::from_millis(5);
/// So much gathers at most; who tells more waits.
const MOST: usize = 256 * 1024;

/// The lines of this process.
static OURS: OnceLock<Arc<Lines>> = OnceLock::new();

/// What has gathered, and who waits for it to be written out.
#[derive(Debug, Default)]
struct Lines {
    gathered: Mutex<Gathered>,
    /// Something has gathered, or somebody waits for it.
    more: Condvar,
    /// Something was written out.
    less: Condvar,
}

#[derive(Debug, Default)]
struct Gathered {
    bytes: Vec<u8>,
    /// How many bytes were ever told.
    told: u64,
    /// How many of them were written out.
    written: u64,
    /// How many wait for that.
    waiting: usize,
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds whole lines.
    fn tell(&self, lines: &[u8], at_once: bool) {
        let mut gathered = self.lock();
        while gathered.bytes.len() > MOST {
            gathered = self.written_more(gathered);
        }
        let first = gathered.bytes.is_empty();
        gathered.bytes.extend_from_slice(lines);
        gathered.told += lines.len() as u64;
        if at_once {
            self.wait_for_all(gathered);
        } else if first {
            self.more.notify_one();
        }
    }

    /// Waits until all that was told so far is written out.
    fn wait_for_all(&self, mut gathered: MutexGuard<'_, Gathered>) {
        let all = gathered.told;
        while gathered.written < all {
            gathered = self.written_more(gathered);
        }
    }

    /// Waits until something was written out.
    fn written_more<'a>(&self, mut gathered: MutexGuard<'a, Gathered>) -> MutexGuard<'a, Gathered> {
        gathered.waiting += 1;
        self.more.notify_one();
        let mut gathered = self.less.wait(gathered).unwrap_or_else(PoisonError::into_inner);
        gathered.waiting -= 1;
        gathered
    }

    /// Writes out what gathers, for as long as the process lives.
    fn write_out(&self, mut to: impl Write) {
        let mut writing = Vec::new();
        let mut gathered = self.lock();
        loop {
            while gathered.bytes.is_empty() {
                gathered = self.more.wait(gathered).unwrap_or_else(PoisonError::into_inner);
            }
            if gathered.waiting == 0 {
                let waits = self.more.wait_timeout(gathered, GATHER);
                gathered = waits.unwrap_or_else(PoisonError::into_inner).0;
            }
            std::mem::swap(&mut gathered.bytes, &mut writing);
            drop(gathered);
            // Nobody is left to tell that the log cannot be written.
            let _ = to.write_all(&writing);
            gathered = self.lock();
            gathered.written += writing.len() as u64;
            writing.clear();
            self.less.notify_all();
        }
    }
}

/// Where the log of this process writes its lines.
#[derive(Clone, Debug)]
pub(super) struct ToStderr(Arc<Lines>);

impl ToStderr {
    /// The lines of this process, with the thread that writes them out.
    pub(super) fn start() -> io::Result<Self> {
        let lines = Arc::new(Lines::default());
        let writing = lines.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || writing.write_out(io::stderr()))?;
        // Who starts a second log is told so when it is installed.
        let _ = OURS.set(lines.clone());
        Ok(Self(lines))
    }
}

/// Waits until everything that was told is written out.
pub(super) fn flush() {
    if let Some(lines) = OURS.get() {
        lines.wait_for_all(lines.lock());
    }
}

/// One line.
#[derive(Debug)]
pub(super) struct Line<'a> {
    lines: &'a Lines,
    at_once: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.tell(line, self.at_once);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for ToStderr {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: &self.0, at_once: true }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        Line { lines: &self.0, at_once: *meta.level() <= Level::WARN }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::Lines;

    /// Keeps what is written out.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn started() -> (Arc<Lines>, Kept) {
        let (lines, kept) = (Arc::new(Lines::default()), Kept::default());
        let (writing, to) = (lines.clone(), kept.clone());
        std::thread::spawn(move || writing.write_out(to));
        (lines, kept)
    }

    #[test]
    fn a_warning_is_written_out_with_all_before_it_when_its_teller_goes_on() {
        let (lines, kept) = started();
        lines.tell(b"in passing\n", false);
        lines.tell(b"a warning\n", true);
        assert_eq!(*kept.0.lock().unwrap(), b"in passing\na warning\n");
    }

    #[test]
    fn many_tellers_lose_no_line_and_break_none() {
        let (lines, kept) = started();
        let line = |teller: u8| [vec![b'a' + teller; 100], vec![b'\n']].concat();
        let tellers: Vec<_> = (0..4)
            .map(|teller| {
                let lines = lines.clone();
                std::thread::spawn(move || (0..5000).for_each(|_| lines.tell(&line(teller), false)))
            })
            .collect();
        for teller in tellers {
            teller.join().unwrap();
        }
        lines.wait_for_all(lines.lock());
        let kept = kept.0.lock().unwrap();
        assert_eq!(kept.len(), 4 * 5000 * 101);
        assert!(kept.chunks(101).all(|line| line[100] == b'\n' && line[..100].iter().all(|byte| *byte == line[0])));
    }
}
