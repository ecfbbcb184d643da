//! Ports of a pod: in channels of a WebSocket, or by SPDY as `kubectl port-forward` asks for them, over the connection
//! itself or inside a WebSocket.
//!
//! By SPDY, each forwarded connection is a pair of streams with the same `requestid`: one for errors, one for data.

use std::{collections::HashMap, io, pin::pin};

use bytes::Bytes;
use ferroflow_platform::{
    kubelet::{Connection, ContainerRef, SharedAgent},
    task::{Group, Kind as TaskKind},
};
use futures::{SinkExt, Stream, StreamExt};
use http::{Response, header};
use tokio::{io::AsyncWriteExt, sync::mpsc};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};
use tokio_util::sync::CancellationToken;

use super::{
    body::{Body, BoxError},
    connect::{self, MESSAGES, Socket, Upgrade, message, pod, pump, reference, send_all},
    hooks,
    server::Call,
    spdy::{self as connection, FRAMES, Frames, Reader},
};
use crate::core::{
    spdy::{self, Encoder, Frame},
    status::{Failure, Outcome},
};

/// Protocols of ports.
const PORT_PROTOCOLS: [&str; 2] = ["v4.channel.k8s.io", "portforward.k8s.io"];
/// The protocol of the streams, which both sides name.
const PROTOCOL: &str = "portforward.k8s.io";
/// The protocol of the WebSocket in which SPDY travels.
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// Connections that one client forwards at a time.
const PAIRS: usize = 256;
/// Frames of one connection that wait for a slow pod: 8 MiB at the most, and then all of the client's streams wait,
/// for SPDY as clients speak it holds up no single one.
const WAITING: usize = 256;

/// Forwards ports of a pod.
///
/// # Errors
/// 400 for a request that names no port or is no WebSocket's.
pub async fn port_forward(mut call: Call<'_>) -> Outcome<Response<Body>> {
    let pod = pod(&call)?;
    let target = reference(&call, &pod, "");
    hooks::connect::ask(&call).await?;
    if connection::is_asked(&call) {
        let agent = connect::agent(&call)?;
        return native(&mut call, agent, target);
    }
    if is_tunnel(&call) {
        let agent = connect::agent(&call)?;
        return tunnel(&mut call, agent, target);
    }
    let ports: Vec<u16> = call
        .options
        .all("ports")
        .flat_map(|ports| ports.split(','))
        .map(|port| {
            port.parse().map_err(|_| Failure::bad_request(format!("port {port:?} is not a number from 1 to 65535")))
        })
        .collect::<Outcome<_>>()?;
    if ports.is_empty() || ports.len() > 100 {
        return Err(Failure::bad_request("query parameter \"ports\" is required, with at most 100 ports"));
    }
    let upgrade = Upgrade::of(&mut call, &PORT_PROTOCOLS)?;
    let agent = connect::agent(&call)?;
    Ok(upgrade.accept(&call, move |socket| stream_ports(socket, agent, target, ports)))
}

/// Whether a request asks for SPDY inside a WebSocket.
fn is_tunnel(call: &Call<'_>) -> bool {
    let offered = call.parts.headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
    offered.is_some_and(|offered| offered.split(',').any(|protocol| protocol.trim() == TUNNEL))
}

/// Takes over the connection.
///
/// # Errors
/// 400 for a connection that cannot be taken over, or another protocol.
fn native(call: &mut Call<'_>, agent: SharedAgent, target: ContainerRef) -> Outcome<Response<Body>> {
    let protocol = connection::protocol(call, &[PROTOCOL], None)?;
    let tasks = call.api.tasks.clone();
    connection::accept(call, protocol, move |bytes, frames| serve(bytes, frames, agent, target, tasks))
}

/// Opens a WebSocket with SPDY in it.
///
/// # Errors
/// 400 for a request that is no WebSocket's.
fn tunnel(call: &mut Call<'_>, agent: SharedAgent, target: ContainerRef) -> Outcome<Response<Body>> {
    let upgrade = Upgrade::of(call, &[TUNNEL])?;
    let tasks = call.api.tasks.clone();
    Ok(upgrade.accept(call, move |socket| async move {
        inside(socket, agent, target, tasks).await;
        Ok::<(), BoxError>(())
    }))
}

/// Channels 2i and 2i+1 carry the data and the error of port i; each starts with the port's number.
async fn stream_ports(
    socket: Socket,
    agent: SharedAgent,
    target: ContainerRef,
    ports: Vec<u16>,
) -> Result<(), BoxError> {
    let (sink, mut source) = socket.split();
    let (sender, receiver) = mpsc::channel(MESSAGES);
    let mut writers = Vec::new();
    let mut readers = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let channel = u8::try_from(index * 2).unwrap_or(u8::MAX - 1);
        sender.send(message(channel, &port.to_le_bytes())).await?;
        sender.send(message(channel + 1, &port.to_le_bytes())).await?;
        match agent.connect(target.clone(), *port).await {
            Ok(connection) => {
                let (read, write) = tokio::io::split(connection);
                readers.push(pump(read, channel, sender.clone()));
                writers.push(Some(write));
            }
            Err(error) => {
                sender.send(message(channel + 1, error.to_string().as_bytes())).await?;
                writers.push(None);
            }
        }
    }
    drop(sender);
    let receiving = async {
        while let Some(Ok(received)) = source.next().await {
            let Message::Binary(bytes) = received else { continue };
            let Some((channel, data)) = bytes.split_first() else { continue };
            if let Some(Some(writer)) = writers.get_mut(usize::from(*channel / 2))
                && writer.write_all(data).await.is_err()
            {
                return;
            }
        }
    };
    let sending = async {
        tokio::join!(futures::future::join_all(readers), send_all(receiver, sink));
    };
    tokio::select! {
        () = sending => {}
        () = receiving => {}
    }
    Ok(())
}

async fn inside<S>(socket: WebSocketStream<S>, agent: SharedAgent, target: ContainerRef, tasks: Group)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (mut sink, source) = socket.split();
    let bytes = source.filter_map(async |message| match message {
        Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
        Ok(Message::Close(_)) => Some(Err(io::ErrorKind::ConnectionAborted.into())),
        Ok(_) => None,
        Err(error) => Some(Err(io::Error::other(error))),
    });
    let (frames, mut waiting) = mpsc::channel::<Vec<u8>>(FRAMES);
    let sending = async move {
        while let Some(frame) = waiting.recv().await {
            if sink.send(Message::Binary(frame.into())).await.is_err() {
                return;
            }
        }
        let _ = sink.close().await;
    };
    let bytes = pin!(bytes);
    tokio::select! {
        () = serve(bytes, frames, agent, target, tasks) => {}
        () = sending => {}
    }
}

/// Serves until the client is gone.
async fn serve(
    bytes: impl Stream<Item = io::Result<Bytes>> + Unpin,
    frames: Frames,
    agent: SharedAgent,
    target: ContainerRef,
    tasks: Group,
) {
    let ended = CancellationToken::new();
    let session = Session {
        agent,
        target,
        tasks,
        frames,
        ended: ended.clone(),
        encoder: Encoder::default(),
        pairs: HashMap::new(),
        streams: HashMap::new(),
    };
    let _ends = ended.drop_guard();
    session.run(bytes).await;
}

/// The streams of one forwarded connection, as far as they are open.
#[derive(Default)]
struct Pair {
    error: Option<u32>,
    data: Option<u32>,
}

/// Where data of a stream goes.
struct Inbox {
    /// `None` for a stream of errors, in which clients say nothing.
    to: Option<mpsc::Sender<Vec<u8>>>,
    ended: CancellationToken,
}

struct Session {
    agent: SharedAgent,
    target: ContainerRef,
    tasks: Group,
    frames: Frames,
    ended: CancellationToken,
    encoder: Encoder,
    /// Pairs that are not complete, by their `requestid`.
    pairs: HashMap<String, Pair>,
    streams: HashMap<u32, Inbox>,
}

impl Session {
    async fn run(mut self, bytes: impl Stream<Item = io::Result<Bytes>> + Unpin) {
        let mut reader = Reader::new(bytes);
        while let Some(frame) = reader.next().await {
            if self.take(frame).await.is_none() {
                return;
            }
        }
    }

    /// Does what a frame says; `None` when the client is gone.
    async fn take(&mut self, frame: Frame) -> Option<()> {
        match frame {
            Frame::Open { stream, headers, .. } => self.open(stream, &headers).await,
            Frame::Data { stream, last, bytes } => {
                let Some(inbox) = self.streams.get_mut(&stream) else { return Some(()) };
                if let Some(to) = inbox.to.as_ref().filter(|_| !bytes.is_empty()) {
                    // A connection that has ended takes no more.
                    let _ = to.send(bytes).await;
                }
                if last {
                    inbox.to = None;
                }
                Some(())
            }
            Frame::Reset { stream } => {
                if let Some(inbox) = self.streams.remove(&stream) {
                    inbox.ended.cancel();
                }
                Some(())
            }
            Frame::Ping { id } => self.send(spdy::pong(id)).await,
            Frame::GoAway | Frame::Other => Some(()),
        }
    }

    async fn send(&self, frame: Vec<u8>) -> Option<()> {
        self.frames.send(frame).await.ok()
    }

    async fn open(&mut self, stream: u32, headers: &[(String, String)]) -> Option<()> {
        self.streams.retain(|_, inbox| !inbox.ended.is_cancelled());
        let find = |wanted| connection::value(headers, wanted);
        let (kind, port) = (find("streamtype"), find("port").and_then(|port| port.parse::<u16>().ok()));
        let port = port.filter(|port| *port > 0);
        let (Some(kind @ ("error" | "data")), Some(port)) = (kind, port) else {
            return self.send(spdy::refuse(stream)).await;
        };
        if self.pairs.len() + self.streams.len() / 2 >= PAIRS {
            return self.send(spdy::refuse(stream)).await;
        }
        let id = find("requestid").unwrap_or_default().to_owned();
        let reply = self.encoder.reply(stream);
        self.send(reply).await?;
        let pair = self.pairs.entry(id.clone()).or_default();
        if kind == "error" {
            pair.error = Some(stream)
        } else {
            pair.data = Some(stream)
        }
        let (Some(error), Some(data)) = (pair.error, pair.data) else { return Some(()) };
        self.pairs.remove(&id);
        let (sender, receiver) = mpsc::channel(WAITING);
        let ended = self.ended.child_token();
        self.streams.insert(error, Inbox { to: None, ended: ended.clone() });
        self.streams.insert(data, Inbox { to: Some(sender), ended: ended.clone() });
        let forwarded = Forwarded { error, data, frames: self.frames.clone(), received: receiver };
        let (agent, target) = (self.agent.clone(), self.target.clone());
        self.tasks.spawn(format!("port {port} of {}", target.pod), TaskKind::Transient, async move {
            tokio::select! {
                _ = forwarded.run(agent, target, port) => {}
                () = ended.cancelled() => {}
            }
            ended.cancel();
            connection::DONE
        });
        Some(())
    }
}

/// One forwarded connection.
struct Forwarded {
    error: u32,
    data: u32,
    frames: Frames,
    received: mpsc::Receiver<Vec<u8>>,
}

impl Forwarded {
    /// Carries bytes until both sides have said all; `None` when the client is gone.
    async fn run(self, agent: SharedAgent, target: ContainerRef, port: u16) -> Option<()> {
        let pod = target.pod.clone();
        match agent.connect(target, port).await {
            Ok(connection) => {
                let (data, frames) = (self.data, self.frames.clone());
                carry(connection, data, &frames, self.received).await?;
            }
            Err(error) => {
                let text = format!("error forwarding port {port} to pod {pod}: {error}");
                self.frames.send(spdy::data(self.error, text.as_bytes(), false)).await.ok()?;
                self.frames.send(spdy::data(self.data, &[], true)).await.ok()?;
            }
        }
        self.frames.send(spdy::data(self.error, &[], true)).await.ok()
    }
}

async fn carry(
    connection: Box<dyn Connection>,
    stream: u32,
    frames: &Frames,
    mut received: mpsc::Receiver<Vec<u8>>,
) -> Option<()> {
    let (read, mut write) = tokio::io::split(connection);
    let there = async {
        while let Some(bytes) = received.recv().await {
            if write.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = write.shutdown().await;
    };
    let back = connection::pump(read, stream, frames);
    // A pod that has said all and closed hears nothing more.
    let mut there = pin!(there);
    let mut back = pin!(back);
    tokio::select! {
        () = &mut there => back.await,
        sent = &mut back => sent,
    }
}
