//! `log`, `exec`, `attach` and `portforward`: between a client's connection and the node.
//!
//! Commands and ports travel in WebSocket messages whose first byte is a channel
//! (`v5.channel.k8s.io`, `v4.channel.k8s.io`, `channel.k8s.io`); both by SPDY too, see `command` and `forward`.

use std::future::Future;

use base64::Engine;
use bytes::Bytes;
use ferroflow_platform::{
    kubelet::{
        AgentError, ContainerRef, ExecOptions, ExecSession, ExitStatus, LogOptions, LogStream, SharedAgent,
        TerminalSize,
    },
    task::Kind as TaskKind,
};
use futures::{
    SinkExt, StreamExt, TryStreamExt,
    stream::{SplitSink, SplitStream},
};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message, Utf8Bytes,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};

use super::{
    body::{self, Body, BodyError, BoxError},
    command, hooks,
    server::{self, Call},
    spdy,
};
use crate::core::{
    field::FieldError,
    status::{Failure, Outcome},
};

pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Protocols of commands, the best first.
const COMMAND_PROTOCOLS: [&str; 3] = ["v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io"];
/// Protocols of logs; the client takes binary messages where it names none.
const LOG_PROTOCOLS: [&str; 2] = ["binary.k8s.io", "base64.binary.k8s.io"];
const TOKEN_PREFIX: &str = "base64url.bearer.authorization.k8s.io.";
/// Bytes of a stream in one message.
const CHUNK_BYTES: usize = 32 << 10;
/// Messages that wait for a slow client; then the command's pipe fills and the command waits.
pub(super) const MESSAGES: usize = 16;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// Since v5: the byte after it names the channel that the client has closed.
const CLOSE: u8 = 255;

/// A bearer token that a browser sends as a WebSocket protocol.
pub fn websocket_token(headers: &HeaderMap) -> Option<String> {
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let encoded = offered.split(',').map(str::trim).find_map(|protocol| protocol.strip_prefix(TOKEN_PREFIX))?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?;
    String::from_utf8(bytes).ok()
}

impl From<AgentError> for Box<Failure> {
    fn from(error: AgentError) -> Self {
        match error {
            AgentError::BadRequest(text) => Failure::bad_request(text),
            AgentError::NotFound(text) => Failure::missing(text),
            AgentError::Internal(text) => Failure::internal(text),
        }
    }
}

pub(super) fn agent(call: &Call<'_>) -> Outcome<SharedAgent> {
    let agent = call.api.agent.get().cloned();
    agent.ok_or_else(|| Failure::unavailable("no node runs here; start the server with one"))
}

pub(super) fn pod(call: &Call<'_>) -> Outcome<Value> {
    let request = call.request();
    request.parse(&*request.existing()?)
}

fn names(pod: &Value) -> Vec<&str> {
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    let all = lists.iter().flat_map(|list| pod["spec"][*list].as_array().into_iter().flatten());
    all.filter_map(|container| container["name"].as_str()).collect()
}

/// The container that a request means.
fn container(call: &Call<'_>, pod: &Value) -> Outcome<ContainerRef> {
    let name = call.path.name.as_str();
    let asked = call.options.get("container").unwrap_or_default();
    let default = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str();
    let own = pod["spec"]["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let chosen = match (asked, own) {
        ("", [only]) => only["name"].as_str().unwrap_or_default(),
        ("", _) => default.unwrap_or_default(),
        (asked, _) => asked,
    };
    if chosen.is_empty() {
        let names = names(pod).join(" ");
        return Err(Failure::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{names}]"
        )));
    }
    if !names(pod).contains(&chosen) {
        return Err(Failure::bad_request(format!("container {chosen} is not valid for pod {name}")));
    }
    Ok(reference(call, pod, chosen))
}

/// Whether a node has been chosen for the pod.
fn is_placed(pod: &Value) -> bool {
    pod["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty())
}

pub(super) fn reference(call: &Call<'_>, pod: &Value, container: &str) -> ContainerRef {
    ContainerRef {
        namespace: call.path.namespace.clone(),
        pod: call.path.name.clone(),
        uid: pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
        container: container.to_owned(),
    }
}

fn log_options(call: &Call<'_>) -> Outcome<LogOptions> {
    let number = |name: &str| -> Outcome<Option<u64>> {
        let Some(text) = call.options.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        let parsed = text.parse().map_err(|_| {
            let value = text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from);
            let error = FieldError::invalid(name, value, "must be greater than or equal to 0");
            Failure::invalid("", "PodLogOptions", &call.path.name, &vec![error])
        });
        parsed.map(Some)
    };
    let since_time = match call.options.get("sinceTime").filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(text.parse().map_err(|error| Failure::bad_request(format!("sinceTime: {error}")))?),
    };
    if since_time.is_some() && call.options.get("sinceSeconds").is_some() {
        let error = FieldError::forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified");
        return Err(Failure::invalid("", "PodLogOptions", &call.path.name, &vec![error]));
    }
    let since_seconds = number("sinceSeconds")?.and_then(|seconds| i64::try_from(seconds).ok());
    let since =
        since_seconds.map(jiff::SignedDuration::from_secs).and_then(|ago| call.api.clock.now().checked_sub(ago).ok());
    Ok(LogOptions {
        follow: call.options.flag("follow"),
        previous: call.options.flag("previous"),
        timestamps: call.options.flag("timestamps"),
        since: since_time.or(since),
        tail_lines: number("tailLines")?,
        limit_bytes: number("limitBytes")?,
        stream: call.options.get("stream").unwrap_or_default().to_owned(),
    })
}

/// Answers with a container's log.
///
/// # Errors
/// 400 while the container waits, 404 for an earlier run that there was not.
pub async fn log(mut call: Call<'_>) -> Outcome<Response<Body>> {
    let pod = pod(&call)?;
    let options = log_options(&call)?;
    let target = container(&call, &pod)?;
    if !is_placed(&pod) {
        let mut response = Response::new(body::full(Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    }
    let upgrade = if Upgrade::is_asked(&call) { Some(Upgrade::of(&mut call, &LOG_PROTOCOLS)?) } else { None };
    let stream = agent(&call)?.logs(target, options).await?;
    if let Some(upgrade) = upgrade {
        let is_text = upgrade.protocol == Some(LOG_PROTOCOLS[1]);
        return Ok(upgrade.accept(&call, move |socket| stream_log(socket, stream, is_text)));
    }
    let frames = stream.map_ok(Frame::data).map_err(|error| BodyError(error.into()));
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    server::set(response.headers_mut(), header::CONTENT_TYPE, "text/plain");
    Ok(response)
}

/// Starts a command, or joins a container's own streams.
///
/// # Errors
/// 400 for a pod or container that cannot take it, 400 for a request that is no WebSocket's.
pub async fn command(mut call: Call<'_>) -> Outcome<Response<Body>> {
    let pod = pod(&call)?;
    let target = container(&call, &pod)?;
    if !is_placed(&pod) {
        return Err(Failure::bad_request(format!("pod {} does not have a host assigned", call.path.name)));
    }
    let is_attach = call.path.subresource == "attach";
    let options = ExecOptions {
        command: call.options.all("command").map(str::to_owned).collect(),
        stdin: call.options.flag("stdin"),
        stdout: call.options.flag("stdout"),
        stderr: call.options.flag("stderr"),
        tty: call.options.flag("tty"),
    };
    if !is_attach && options.command.is_empty() {
        return Err(Failure::bad_request("you must specify at least one command for the container"));
    }
    if !options.stdin && !options.stdout && !options.stderr {
        return Err(Failure::bad_request("you must specify at least one of stdin, stdout, stderr"));
    }
    hooks::connect::ask(&call).await?;
    let agent = agent(&call)?;
    let begin = async |options| {
        if is_attach { agent.attach(target, options).await } else { agent.exec(target, options).await }
    };
    if spdy::is_asked(&call) {
        let protocol = spdy::protocol(&call, &command::PROTOCOLS, Some(command::WITHOUT))?;
        let session = begin(options.clone()).await?;
        return spdy::accept(&mut call, protocol, async move |bytes, frames| {
            command::serve(bytes, frames, session, &options, protocol).await;
        });
    }
    let upgrade = Upgrade::of(&mut call, &COMMAND_PROTOCOLS)?;
    let session = begin(options).await?;
    // The first protocol tells of a success by ending, and of anything else in plain words.
    let is_plain = matches!(upgrade.protocol, None | Some("channel.k8s.io"));
    Ok(upgrade.accept(&call, move |socket| stream_command(socket, session, is_plain)))
}

/// A request that can become a WebSocket.
pub(super) struct Upgrade {
    pending: OnUpgrade,
    protocol: Option<&'static str>,
    accept_key: String,
}

impl Upgrade {
    /// Whether the request wants to become a WebSocket.
    fn is_asked(call: &Call<'_>) -> bool {
        let upgrade = call.parts.headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
        upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
    }

    pub(super) fn of(call: &mut Call<'_>, known: &'static [&'static str]) -> Outcome<Self> {
        let text = |name: header::HeaderName| call.parts.headers.get(name).and_then(|value| value.to_str().ok());
        let Some(key) = text(header::SEC_WEBSOCKET_KEY).filter(|_| Self::is_asked(call)) else {
            return Err(Failure::bad_request(
                "unable to upgrade: this server speaks WebSocket (v5.channel.k8s.io) and SPDY/3.1 here",
            ));
        };
        let offered = text(header::SEC_WEBSOCKET_PROTOCOL).unwrap_or_default();
        let offered: Vec<&str> = offered.split(',').map(str::trim).filter(|one| !one.is_empty()).collect();
        let protocol = known.iter().copied().find(|known| offered.contains(known));
        if protocol.is_none() && !offered.is_empty() {
            return Err(Failure::bad_request(format!("unable to upgrade: none of the protocols {offered:?} is known")));
        }
        let accept_key = derive_accept_key(key.as_bytes());
        let pending = call.parts.extensions.remove::<OnUpgrade>();
        let pending =
            pending.ok_or_else(|| Failure::bad_request("this connection cannot be upgraded; use HTTP/1.1"))?;
        Ok(Self { pending, protocol, accept_key })
    }

    /// Answers 101 and runs `serve` on the socket, as a task of the server's.
    pub(super) fn accept<F>(self, call: &Call<'_>, serve: impl FnOnce(Socket) -> F + Send + 'static) -> Response<Body>
    where
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let pending = self.pending;
        call.api.tasks.spawn(
            format!("{} {}", call.path.subresource, call.path.name),
            TaskKind::Transient,
            async move {
                let upgraded = pending.await?;
                let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
                if let Err(error) = serve(socket).await {
                    tracing::debug!(%error, "stream ended");
                }
                Ok::<(), hyper::Error>(())
            },
        );
        let mut response = Response::new(body::full(Bytes::new()));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        server::set(headers, header::SEC_WEBSOCKET_ACCEPT, &self.accept_key);
        if let Some(protocol) = self.protocol {
            server::set(headers, header::SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        response
    }
}

pub(super) fn message(channel: u8, bytes: &[u8]) -> Message {
    let mut framed = Vec::with_capacity(bytes.len() + 1);
    framed.push(channel);
    framed.extend_from_slice(bytes);
    Message::Binary(framed.into())
}

/// Sends what a stream gives, until it ends or the client is gone.
pub(super) async fn pump(mut from: impl AsyncRead + Unpin, channel: u8, to: mpsc::Sender<Message>) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if to.send(message(channel, &buffer[..count])).await.is_err() {
            return;
        }
    }
}

pub(super) async fn send_all(mut messages: mpsc::Receiver<Message>, mut socket: SplitSink<Socket, Message>) {
    while let Some(message) = messages.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
    // Without a code kubectl takes the end for a broken connection, and the exit status for unknown.
    let normal = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
    let _ = socket.send(Message::Close(Some(normal))).await;
    let _ = socket.close().await;
}

/// A log in messages, each a part of it.
async fn stream_log(socket: Socket, mut log: LogStream, is_text: bool) -> Result<(), BoxError> {
    let (mut sink, mut source) = socket.split();
    let sending = async {
        while let Some(Ok(bytes)) = log.next().await {
            let message = if is_text {
                Message::Text(base64::engine::general_purpose::STANDARD.encode(bytes).into())
            } else {
                Message::Binary(bytes)
            };
            if sink.send(message).await.is_err() {
                return;
            }
        }
        let normal = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
        let _ = sink.send(Message::Close(Some(normal))).await;
    };
    // The client says nothing; its end shows here.
    let receiving = async { while let Some(Ok(_)) = source.next().await {} };
    tokio::select! {
        () = sending => {}
        () = receiving => {}
    }
    Ok(())
}

async fn stream_command(socket: Socket, session: ExecSession, is_plain: bool) -> Result<(), BoxError> {
    let (sink, source) = socket.split();
    let (sender, receiver) = mpsc::channel(MESSAGES);
    let outputs = async {
        let stdout = async {
            if let Some(stdout) = session.stdout {
                pump(stdout, STDOUT, sender.clone()).await;
            }
        };
        let stderr = async {
            if let Some(stderr) = session.stderr {
                pump(stderr, STDERR, sender.clone()).await;
            }
        };
        let (exit, (), ()) = tokio::join!(session.exit, stdout, stderr);
        let status = exit_status(&exit);
        if let Some(told) = told(&exit, &status, is_plain) {
            let _ = sender.send(message(ERROR, told.as_bytes())).await;
        }
        drop(sender);
    };
    let sending = async {
        tokio::join!(outputs, send_all(receiver, sink));
    };
    tokio::select! {
        () = sending => {}
        () = receive(source, session.stdin, session.resize) => {}
    }
    Ok(())
}

/// Hands on what the client sends; completes when the client is gone.
async fn receive(
    mut source: SplitStream<Socket>,
    mut stdin: Option<Box<dyn tokio::io::AsyncWrite + Send + Unpin>>,
    resize: Option<mpsc::Sender<TerminalSize>>,
) {
    while let Some(Ok(received)) = source.next().await {
        let bytes = match received {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => Bytes::from(text),
            Message::Close(_) => return,
            _ => continue,
        };
        match bytes.split_first() {
            Some((&STDIN, data)) => {
                if let Some(open) = &mut stdin
                    && (open.write_all(data).await.is_err() || open.flush().await.is_err())
                {
                    stdin = None;
                }
            }
            Some((&RESIZE, data)) => {
                if let (Some(resize), Some(size)) = (&resize, terminal_size(data)) {
                    // A terminal that is resized faster than it is drawn misses sizes in between.
                    let _ = resize.try_send(size);
                }
            }
            Some((&CLOSE, [STDIN])) => stdin = None,
            _ => {}
        }
    }
}

pub(super) fn terminal_size(data: &[u8]) -> Option<TerminalSize> {
    let value: Value = serde_json::from_slice(data).ok()?;
    let number = |field: &str| value[field].as_u64().and_then(|number| u16::try_from(number).ok());
    Some(TerminalSize { width: number("Width")?, height: number("Height")? })
}

/// What a client is told of an end, which the first protocols say in words.
pub(super) fn told(exit: &ExitStatus, status: &Value, is_plain: bool) -> Option<String> {
    match (is_plain, exit) {
        (true, ExitStatus::Code(0)) => None,
        (true, _) => Some(status["message"].as_str().unwrap_or_default().to_owned()),
        (false, _) => Some(status.to_string()),
    }
}

pub(super) fn exit_status(exit: &ExitStatus) -> Value {
    match exit {
        ExitStatus::Code(0) => json!({"metadata": {}, "status": "Success"}),
        ExitStatus::Code(code) => json!({
            "metadata": {},
            "status": "Failure",
            "message": format!("command terminated with non-zero exit code: exit status {code}"),
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        ExitStatus::Failed(why) => json!({
            "metadata": {}, "status": "Failure", "message": why, "reason": "InternalError", "code": 500,
            "details": {"causes": [{"message": why}]},
        }),
    }
}
