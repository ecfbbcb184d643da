//! Asking the control plane until it answers, however long it is away.

use std::{
    io::{self, Read, Write},
    time::Duration,
};

use serde_json::Value;

use crate::{
    client::{Client, Lost, Payload},
    sys::Signals,
    token,
    wire::Head,
};

/// The first pause after a failure, doubled up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(50);
/// The longest pause: a control plane that is back is noticed within it.
const LONGEST: Duration = Duration::from_secs(5);
/// Failures in a row after which that is told: a connection that was closed while it was idle is none to speak of.
const TOLD: u32 = 3;
/// Bytes of an answer that is read whole. A work order holds the step's command, and what its inputs say.
const ANSWER: u64 = 256 * 1024 * 1024;

/// Why asking has ended without the wanted answer.
#[derive(Debug)]
pub enum Stop {
    /// 409: another attempt has taken over, or the run has ended.
    Stale(String),
    /// The token is void.
    Void(String),
    /// SIGTERM came while the control plane was away.
    Told,
    /// Anything else that stays so, with the status and what the control plane says.
    Refused(u16, String),
    /// Something here cannot be read or written.
    Own(io::Error),
}

/// The control plane, for one attempt of one task.
pub struct Control {
    client: Client,
    expiry: Option<u64>,
    signals: Signals,
    /// Tries in a row that brought no answer.
    failures: u32,
}

/// Where an answer's body goes.
type Sink<'a, T> = dyn FnMut(&Head, &mut dyn Read) -> io::Result<T> + 'a;

impl Control {
    /// For a client with this token.
    pub fn new(client: Client, token: &str, signals: Signals) -> Self {
        Self { client, expiry: token::expiry(token), signals, failures: 0 }
    }

    /// Signals, for whoever waits for a child.
    pub fn signals(&self) -> &Signals {
        &self.signals
    }

    /// Sends JSON, and returns the JSON of the answer.
    pub fn post(&mut self, path: &str, body: &[u8]) -> Result<Value, Stop> {
        self.insist("POST", path, &mut |send| send(&mut Payload::Bytes("application/json", body)), &mut |_, body| {
            json(body)
        })
    }

    /// Sends so many bytes of what `open` opens anew for each try.
    pub fn put_file<R: Read>(
        &mut self,
        path: &str,
        length: u64,
        mut open: impl FnMut() -> io::Result<R>,
    ) -> Result<Value, Stop> {
        let send: &mut Tries<'_, Value> = &mut |send| match open() {
            Ok(mut reader) => send(&mut Payload::Reader(length, &mut reader)),
            Err(error) => Err(Lost::Own(error)),
        };
        self.insist("PUT", path, send, &mut |_, body| json(body))
    }

    /// Sends what `produce` writes, anew for each try.
    pub fn put_stream(
        &mut self,
        path: &str,
        kind: &'static str,
        mut produce: impl FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<Value, Stop> {
        let send: &mut Tries<'_, Value> = &mut |send| send(&mut Payload::Stream(kind, &mut produce));
        self.insist("PUT", path, send, &mut |_, body| json(body))
    }

    /// Reads what is at `path`; `take` gets the content type and the bytes, anew for each try.
    pub fn get(
        &mut self,
        path: &str,
        mut take: impl FnMut(&str, &mut dyn Read) -> Result<(), Taken>,
    ) -> Result<(), Stop> {
        let mut own = None;
        let outcome = self.insist("GET", path, &mut |send| send(&mut Payload::Nothing), &mut |head, body| match take(
            &head.content_type,
            body,
        ) {
            Ok(()) => Ok(()),
            Err(Taken::Connection(error)) => Err(error),
            Err(Taken::Own(error)) => {
                own = Some(error);
                Ok(())
            }
        });
        match own {
            Some(error) => Err(Stop::Own(error)),
            None => outcome,
        }
    }

    fn insist<T>(
        &mut self,
        method: &str,
        path: &str,
        tries: &mut Tries<'_, T>,
        take: &mut Sink<'_, T>,
    ) -> Result<T, Stop> {
        let mut pause = FIRST;
        loop {
            let client = &mut self.client;
            let answer = tries(&mut |payload| {
                client.request(method, path, payload, |head, body| match head.status {
                    200..=299 => Answer::Good(take(head, body)),
                    status => Answer::Bad(status, said(body)),
                })
            });
            let why = match answer {
                Ok(Answer::Good(Ok(value))) => {
                    self.is_back();
                    return Ok(value);
                }
                Ok(Answer::Good(Err(error))) => error.to_string(),
                Ok(Answer::Bad(status @ (408 | 425 | 429 | 500..), said)) => format!("it answers {status}: {said}"),
                Ok(Answer::Bad(401, said)) => return Err(Stop::Void(said)),
                Ok(Answer::Bad(409, said)) => return Err(Stop::Stale(said)),
                Ok(Answer::Bad(status, said)) => return Err(Stop::Refused(status, said)),
                Err(Lost::Connection(error)) => error.to_string(),
                Err(Lost::Own(error)) => return Err(Stop::Own(error)),
            };
            self.is_gone(&why);
            if token::has_come(self.expiry) {
                return Err(Stop::Void("the token has expired while the control plane was away".to_owned()));
            }
            if self.signals.sleep(pause) {
                return Err(Stop::Told);
            }
            pause = (pause * 2).min(LONGEST);
        }
    }

    fn is_gone(&mut self, why: &str) {
        self.failures = self.failures.saturating_add(1);
        if self.failures == TOLD {
            eprintln!("ferroflow-launcher: the control plane is away ({why}); trying until it is back");
        }
    }

    fn is_back(&mut self) {
        if self.failures >= TOLD {
            eprintln!("ferroflow-launcher: the control plane is back");
        }
        self.failures = 0;
    }
}

/// Why an answer's bytes were not taken.
pub enum Taken {
    /// They stopped coming: worth another try.
    Connection(io::Error),
    /// They could not be written here.
    Own(io::Error),
}

enum Answer<T> {
    Good(io::Result<T>),
    Bad(u16, String),
}

/// One try: it makes the payload and sends it.
type Tries<'a, T> = dyn FnMut(&mut Send<'_, T>) -> Result<Answer<T>, Lost> + 'a;
type Send<'a, T> = dyn FnMut(&mut Payload<'_>) -> Result<Answer<T>, Lost> + 'a;

fn json(body: &mut dyn Read) -> io::Result<Value> {
    let mut bytes = Vec::new();
    body.take(ANSWER).read_to_end(&mut bytes)?;
    serde_json::from_slice(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// What a refusal says: the `message` of its JSON, or its beginning.
fn said(body: &mut dyn Read) -> String {
    let mut bytes = Vec::new();
    let _ = body.take(64 * 1024).read_to_end(&mut bytes);
    let message = serde_json::from_slice::<Value>(&bytes).ok();
    let message = message.as_ref().and_then(|value| value.get("message")?.as_str());
    message.map_or_else(|| String::from_utf8_lossy(&bytes).chars().take(500).collect(), str::to_owned)
}
