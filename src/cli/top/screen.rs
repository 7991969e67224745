//! The terminal: a screen of its own, its size, and the keys that end the program. The shell's screen and settings come back when
//! this is dropped.

use super::text::Line;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use std::{
    env,
    future::pending,
    io::{self, IsTerminal, Write, stdin, stdout},
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};

/// The other screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Ctrl-C, where the terminal does not make a signal of it.
const INTERRUPT: u8 = 3;

/// Interval between two reads of the keys. A read does not wait, because tokio's wait for standard input could not be ended.
const KEY_INTERVAL: Duration = Duration::from_millis(50);

/// See the module.
pub(super) struct Screen {
    /// The settings that the terminal had before; `None` if the input is no terminal.
    before: Option<Termios>,
    colours: bool,
}

/// Whether there is a terminal to draw on.
pub(super) fn is_there() -> bool {
    stdout().is_terminal()
}

/// Whether colours are wanted where there is a terminal: see <https://no-color.org>.
fn wants_colours() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    ///
    /// If the terminal can't be set or written.
    pub(super) fn open() -> anyhow::Result<Self> {
        let before = match stdin().is_terminal() {
            true => Some(take_keys()?),
            false => None,
        };
        // From here on its end gives the terminal back.
        let screen = Self {
            before,
            colours: wants_colours(),
        };
        write(ENTER)?;
        Ok(screen)
    }

    /// Draws these lines, as far as they fit.
    ///
    /// # Errors
    ///
    /// If the terminal can't be written.
    pub(super) fn draw(&self, lines: &[Line]) -> io::Result<()> {
        let size = tcgetwinsize(stdout()).ok();
        let (width, height) =
            size.map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()));
        let mut text = String::from("\x1b[H");
        for (index, line) in lines.iter().take(height).enumerate() {
            text.push_str(if index > 0 { "\n" } else { "" });
            text.push_str(&line.render(self.colours, width));
            text.push_str("\x1b[K");
        }
        text.push_str("\x1b[J");
        write(&text)
    }

    /// Waits for the key q, for Ctrl-C, or for a signal.
    ///
    /// # Errors
    ///
    /// If the system refuses to tell of signals, or the terminal can't be read.
    pub(super) async fn quit(&self) -> io::Result<()> {
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = interrupted.recv() => Ok(()),
            _ = terminated.recv() => Ok(()),
            read = self.quit_key() => read,
        }
    }

    async fn quit_key(&self) -> io::Result<()> {
        if self.before.is_none() {
            return pending().await;
        }
        let mut pressed = [0; 64];
        loop {
            let read = rustix::io::read(stdin(), &mut pressed)?;
            let quits = |key: &u8| matches!(*key, b'q' | b'Q' | INTERRUPT);
            if pressed[..read].iter().any(quits) {
                return Ok(());
            }
            sleep(KEY_INTERVAL).await;
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        drop(write(LEAVE));
        if let Some(before) = &self.before {
            // There is nobody to tell.
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
        }
    }
}

/// Lets each key come at once and unseen, and a read never wait. Returns the settings before.
fn take_keys() -> anyhow::Result<Termios> {
    let before = tcgetattr(stdin())?;
    let mut raw = before.clone();
    raw.local_modes
        .remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
    raw.special_codes[SpecialCodeIndex::VMIN] = 0;
    raw.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(stdin(), OptionalActions::Now, &raw)?;
    Ok(before)
}

fn write(text: &str) -> io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
