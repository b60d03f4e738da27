//! Everything that a person sees: results on stdout, remarks and progress on stderr. The only file that prints.

use std::io::ErrorKind::BrokenPipe;
use std::io::{IsTerminal, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use comfy_table::{Cell, Color, ContentArrangement, Row, Table, presets};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cache::Reason;
use crate::pipeline::run::{Ending, Reporter};
use crate::progress::Progress;

/// Whether the user asked to stop; set by the signal handler.
static STOP: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C and a termination signal stop the work at its next safe point; the second one ends the program at once.
pub fn watch_signals() -> anyhow::Result<()> {
    Ok(ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::SeqCst) {
            #[allow(clippy::exit, reason = "the second signal means: now; nothing is left half-published by it")]
            std::process::exit(130);
        }
    })?)
}

/// Whether the user asked to stop.
pub fn stopped() -> bool {
    STOP.load(Ordering::SeqCst)
}

/// Speaks to the user.
pub struct Ui {
    bars: MultiProgress,
    quiet: bool,
    terminal: bool,
    lost: OnceLock<String>,
}

impl Ui {
    /// `quiet` leaves out everything on stderr but warnings and errors.
    pub fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if quiet || !terminal { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Self { bars: MultiProgress::with_draw_target(target), quiet, terminal, lost: OnceLock::new() }
    }

    /// Writes a result to stdout. A closed pipe is the reader's choice; anything else is told by [`Ui::lost_output`].
    pub fn out(&self, text: &str) {
        let written = self.bars.suspend(|| {
            let mut stdout = anstream::stdout().lock();
            writeln!(stdout, "{text}").and_then(|()| stdout.flush())
        });
        if let Err(error) = written.or_else(|error| if error.kind() == BrokenPipe { Ok(()) } else { Err(error) }) {
            _ = self.lost.set(error.to_string());
        }
    }

    /// Why a part of the output did not reach stdout, if so.
    pub fn lost_output(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    /// Writes a remark to stderr, unless quiet.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            self.warn(text);
        }
    }

    /// Writes to stderr in any case.
    pub fn warn(&self, text: &str) {
        self.bars.suspend(|| _ = writeln!(anstream::stderr().lock(), "{text}"));
    }

    /// Writes an error and what to do about it.
    pub fn error(&self, error: &str, hint: Option<&str>) {
        // Parsers repeat what they did not expect, however long it is.
        let lines: Vec<String> = error.lines().map(short).collect();
        self.warn(&format!("{}: {}", paint("error", RED), lines.join("\n")));
        if let Some(hint) = hint {
            self.warn(&format!("{}: {hint}", paint("hint", CYAN)));
        }
    }

    /// Writes advice to stderr, unless quiet.
    pub fn hint(&self, text: &str) {
        self.say(&format!("{}: {text}", paint("hint", CYAN)));
    }

    /// A progress line of its own, for work outside a build.
    pub fn progress(&self, name: &str) -> Box<dyn Progress> {
        Box::new(Bar::new(self, name))
    }
}

/// The longest line of an error that is printed as it is, in characters.
const LONGEST_LINE: usize = 2_000;

/// A line, without its middle if it is too long to be read.
fn short(line: &str) -> String {
    let count = line.chars().count();
    if count <= LONGEST_LINE {
        return line.to_owned();
    }
    let half = LONGEST_LINE / 2;
    let (start, end): (String, String) = (line.chars().take(half).collect(), line.chars().skip(count - half).collect());
    format!("{start} [{} characters left out] {end}", count - 2 * half)
}

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";

/// Colours `text`; the colour is dropped where the stream is not a terminal.
pub fn paint(text: &str, code: &str) -> String {
    format!("\u{1b}[1;{code}m{text}\u{1b}[0m")
}

/// A cell with the name of a state, coloured on a terminal by how much it asks for attention.
pub fn state_cell(name: &str) -> Cell {
    let colour = match name {
        "fresh" => Color::Green,
        "modified" | "blocked" => Color::Red,
        _ => Color::Yellow,
    };
    Cell::new(name).fg(colour)
}

/// A table without frames, as wide as it needs to be.
pub fn table<R: Into<Row>>(header: &[&str], rows: impl IntoIterator<Item = R>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.to_vec());
    table.add_rows(rows);
    table.trim_fmt()
}

/// `1.2 s`, `3 min 20 s`.
pub fn seconds(spent: Duration) -> String {
    let all = spent.as_secs_f64();
    if all < 60.0 { format!("{all:.1} s") } else { format!("{} min {:02} s", all as u64 / 60, all as u64 % 60) }
}

/// `123 B`, `4.5 MB`, in powers of ten.
pub fn bytes(count: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let power = (0..units.len() - 1).find(|power| count < 1000_u64.pow(*power as u32 + 1)).unwrap_or(units.len() - 1);
    if power == 0 {
        format!("{count} B")
    } else {
        format!("{:.1} {}", count as f64 / 1000_f64.powi(power as i32), units[power])
    }
}

struct Bar {
    bars: MultiProgress,
    name: String,
    shown: Mutex<Option<ProgressBar>>,
    plain: bool,
    /// When a line was last written where there is no terminal.
    spoken: Mutex<Option<Instant>>,
    note: Mutex<String>,
}

/// How often a long computation says where it is, where there is no terminal to draw a bar on.
const LINE_EVERY: Duration = Duration::from_secs(20);

impl Bar {
    fn new(ui: &Ui, name: &str) -> Self {
        let plain = !ui.quiet && !ui.terminal;
        Self {
            bars: ui.bars.clone(),
            name: name.to_owned(),
            shown: Mutex::new(None),
            plain,
            spoken: Mutex::default(),
            note: Mutex::default(),
        }
    }

    fn with(&self, change: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = self.shown.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            change(bar);
        }
    }
}

impl Progress for Bar {
    fn begin(&self, what: &str, total: u64, unit: &str) {
        let template =
            format!("{{prefix:.cyan}} {{bar:24}} {{pos}}/{{len}} {unit} {{per_sec}} eta {{eta}} {{msg:.dim}}");
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let fresh =
            self.bars.add(ProgressBar::new(total).with_style(style).with_prefix(format!("{} {what}", self.name)));
        fresh.enable_steady_tick(Duration::from_millis(500));
        let old = self.shown.lock().unwrap_or_else(PoisonError::into_inner).replace(fresh);
        if let Some(old) = old {
            old.finish_and_clear();
        }
        let mut spoken = self.spoken.lock().unwrap_or_else(PoisonError::into_inner);
        if self.plain && spoken.is_none_or(|when| when.elapsed() >= LINE_EVERY) {
            *spoken = Some(Instant::now());
            let note = std::mem::take(&mut *self.note.lock().unwrap_or_else(PoisonError::into_inner));
            let note = if note.is_empty() { note } else { format!(" ({note})") };
            _ = writeln!(anstream::stderr().lock(), "  {} {what}: {total} {unit}{note}", self.name);
        }
    }

    fn advance(&self, steps: u64) {
        self.with(|bar| bar.inc(steps));
    }

    fn note(&self, text: &str) {
        text.clone_into(&mut self.note.lock().unwrap_or_else(PoisonError::into_inner));
        self.with(|bar| bar.set_message(text.to_owned()));
    }

    fn cancelled(&self) -> bool {
        stopped()
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.with(ProgressBar::finish_and_clear);
    }
}

impl Reporter for Ui {
    fn begin(&self, instance: &str, reasons: &[Reason]) -> Box<dyn Progress> {
        let why: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        self.say(&format!("{} {instance} ({})", paint("   build", CYAN), why.join(", ")));
        self.progress(instance)
    }

    fn transfer(&self, instance: &str) -> Box<dyn Progress> {
        self.progress(instance)
    }

    fn waiting(&self, instance: &str, holder: &str) {
        self.say(&format!("{} {instance} (held by {holder})", paint("    wait", YELLOW)));
    }

    fn remark(&self, instance: &str, text: &str) {
        self.warn(&format!("{} {instance}: {text}", paint(" warning", YELLOW)));
    }

    fn end(&self, instance: &str, ending: &Ending, spent: Duration) {
        match ending {
            Ending::Fresh | Ending::Skipped => {}
            Ending::Restored => self.say(&format!("{} {instance}", paint("restored", GREEN))),
            Ending::Pulled { bytes: count } => {
                self.say(&format!("{} {instance} ({})", paint("  pulled", GREEN), bytes(*count)));
            }
            Ending::Built { .. } => self.say(&format!("{} {instance} in {}", paint("   built", GREEN), seconds(spent))),
            Ending::Interrupted => self.say(&format!("{} {instance}", paint(" stopped", YELLOW))),
            Ending::Failed => self.say(&format!("{} {instance}", paint("  failed", RED))),
        }
    }

    fn stopped(&self) -> bool {
        stopped()
    }
}
