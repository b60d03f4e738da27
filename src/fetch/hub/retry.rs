//! Trying again, a few times, with growing pauses.

use std::time::Duration;

use super::background::sleep;
use super::error::HubError;
use super::settings::Settings;
use crate::progress::Progress;

/// A server may ask for a pause up to this long; a longer one ends the attempt.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Counts the attempts of one request.
pub(super) struct Retry<'a> {
    progress: &'a dyn Progress,
    pause: Duration,
    attempts: u32,
    failed: u32,
}

impl<'a> Retry<'a> {
    pub(super) fn new(settings: &Settings, progress: &'a dyn Progress) -> Self {
        Self { progress, pause: settings.pause, attempts: settings.attempts, failed: 0 }
    }

    /// Pauses after an error that may pass; gives back one that does not, or that came too often.
    pub(super) fn after(&mut self, error: HubError) -> Result<(), HubError> {
        self.failed += 1;
        let wait = match &error {
            HubError::Busy { wait: Some(wait), .. } => (*wait).max(self.pause),
            _ => self.pause * 2_u32.saturating_pow(self.failed - 1),
        };
        if !error.is_passing() || self.failed >= self.attempts || wait > LONGEST_PAUSE {
            return Err(error);
        }
        self.progress.note(&format!("{error}; trying again"));
        sleep(wait, self.progress)
    }

    /// Something was achieved: the count begins anew.
    pub(super) fn reset(&mut self) {
        self.failed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    #[test]
    fn what_may_pass_is_tried_a_few_times() {
        let host = || "hub.test".to_owned();
        let status = |status| HubError::Status { host: host(), status, said: String::new(), passing: status >= 500 };
        let busy = |seconds| HubError::Busy { host: host(), wait: Some(Duration::from_secs(seconds)) };
        let network = |passing| HubError::Network { host: host(), why: String::new(), passing };
        let settings = Settings {
            attempts: 3,
            pause: Duration::from_millis(1),
            ..Settings::from_lookup(&|_| Some("/nowhere".into()))
        };
        // (error, how often it is met before it counts)
        for (error, met) in [
            (&(|| status(503)) as &dyn Fn() -> HubError, 3),
            (&|| status(418), 1),
            (&|| network(true), 3),
            (&|| network(false), 1),
            (&|| busy(0), 3),
            (&|| busy(61), 1),
            (&|| HubError::BadToken, 1),
        ] {
            let mut retry = Retry::new(&settings, &Silent);
            let count = (1..100).find(|_| retry.after(error()).is_err());
            assert_eq!(count, Some(met), "{}", error());
        }
        let mut retry = Retry::new(&settings, &Silent);
        for _ in 0..9 {
            retry.after(status(500)).unwrap();
            retry.reset();
        }
    }
}
