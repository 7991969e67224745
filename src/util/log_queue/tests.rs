use super::*;
use std::sync::mpsc;

const LONG: Duration = Duration::from_secs(60);

/// What happens to the next write: it takes at most so many bytes, or fails.
type Step = Result<usize, ErrorKind>;

/// Does what the test says, step by step. When the test has dropped the steps, it takes everything.
struct Scripted {
    steps: mpsc::Receiver<Step>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.steps.recv().unwrap_or(Ok(bytes.len()))?;
        let taken = taken.min(bytes.len());
        self.written.lock().extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Place {
    queue: LogQueue,
    steps: mpsc::Sender<Step>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Place {
    fn new() -> Self {
        let (steps, taken) = mpsc::channel();
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let to = Scripted {
            steps: taken,
            written: Arc::clone(&written),
        };
        let own = Arc::<OnceLock<LogQueue>>::default();
        let telling = Arc::clone(&own);
        let tell = move |lost| {
            let queue = telling.get().expect("it is set before the first line");
            queue.push(format!("lost {lost}\n").as_bytes());
        };
        let queue = LogQueue::start(to, tell).expect("a thread");
        own.set(queue.clone()).expect("set once");
        Self {
            queue,
            steps,
            written,
        }
    }

    /// All that was written, once everything can be.
    fn all(self) -> String {
        drop(self.steps);
        self.queue.flush(LONG);
        let written = self.written.lock().clone();
        String::from_utf8(written).expect("a text")
    }
}

#[test]
fn lines_are_written_in_their_order_however_few_bytes_are_taken_at_once() {
    let place = Place::new();
    for step in [
        Ok(1),
        Err(ErrorKind::Interrupted),
        Ok(2),
        Err(ErrorKind::WouldBlock),
    ] {
        place.steps.send(step).expect("it reads");
    }
    for line in ["first\n", "second\n", "third\n"] {
        place.queue.push(line.as_bytes());
    }
    assert_eq!(place.all(), "first\nsecond\nthird\n");
}

#[test]
fn a_reader_that_sleeps_stops_nobody_and_the_lines_that_were_lost_are_told_once() {
    let place = Place::new();
    let line = |number: u32| format!("{number:<1000}\n");
    let pushed = 5_000;
    place.queue.push(line(0).as_bytes());
    while !place.queue.0.queue.lock().is_writing {
        thread::yield_now();
    }
    for number in 1..pushed {
        place.queue.push(line(number).as_bytes());
    }
    let held = place.queue.0.queue.lock().lines.len();
    assert!(held <= MAX_BYTES && held > MAX_BYTES - 2_000, "{held}");
    let (queue, written) = (place.queue.clone(), Arc::clone(&place.written));
    let all = place.all();
    queue.push(b"afterwards\n");
    queue.flush(LONG);
    assert_eq!(*written.lock(), format!("{all}afterwards\n").into_bytes());

    let lines: Vec<_> = all.lines().collect();
    let (told, kept) = lines.split_last().expect("lines");
    let lost = pushed as usize - kept.len();
    assert!(lost > 2_000, "{lost}");
    assert_eq!(*told, format!("lost {lost}"));
    for (number, kept) in kept.iter().enumerate() {
        assert_eq!(format!("{kept}\n"), line(number as u32));
    }
}

/// The second line is torn.
#[test]
fn lines_that_a_full_disk_did_not_take_are_told_when_there_is_room_again() {
    let place = Place::new();
    place.steps.send(Ok(3)).expect("it reads");
    place
        .steps
        .send(Err(ErrorKind::StorageFull))
        .expect("it reads");
    place.queue.push(b"one\ntwo\n");
    place.queue.flush(LONG);
    assert_eq!(&*place.written.lock(), b"one");
    place
        .steps
        .send(Err(ErrorKind::StorageFull))
        .expect("it reads");
    place.queue.push(b"three\n");
    place.queue.flush(LONG);
    place.queue.push(b"four\n");
    assert_eq!(place.all(), "one\nfour\nlost 3\n");
}

#[test]
fn the_end_does_not_wait_for_a_reader_that_sleeps() {
    let place = Place::new();
    place.queue.push(b"a line\n");
    let begun = Instant::now();
    place.queue.flush(Duration::from_millis(50));
    assert!(begun.elapsed() >= Duration::from_millis(50));
    assert_eq!(&*place.written.lock(), b"");
    assert_eq!(place.all(), "a line\n");
}
