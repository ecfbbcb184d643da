//! Handing requests on to the gateway of another replica.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::{
    http::body::{self, Body},
    task::{Group, Kind},
};

/// On a request that another replica has handed on: it is not handed on again.
pub const FORWARDED: HeaderName = HeaderName::from_static("x-ferroflow-forwarded");

/// Where another replica asks whether this one leads, before it hands on what can be sent once only.
pub const LEADS: &str = "/leaderz";

/// A replica that is there answers a connection well within this.
const PATIENCE: Duration = Duration::from_secs(3);
/// What one connection's end says of itself.
const HOP: [HeaderName; 4] = [header::CONNECTION, header::TRANSFER_ENCODING, header::TE, header::UPGRADE];

/// A connection to another replica.
pub struct Line {
    address: String,
    sender: hyper::client::conn::http1::SendRequest<Body>,
}

/// Connects to the gateway at `address`, as `10.0.3.7:8800`.
///
/// # Errors
/// Why it cannot be reached. Nothing has been sent then.
pub async fn connect(address: &str, group: &Group) -> Result<Line, String> {
    let connecting = tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await;
    let stream = connecting.map_err(|_| "it does not answer".to_owned())?.map_err(|error| error.to_string())?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (sender, driver) = handshake.map_err(|error| error.to_string())?;
    group.spawn("request to another replica", Kind::Transient, driver);
    Ok(Line { address: address.to_owned(), sender })
}

impl Line {
    /// Whether the other replica leads: a process that was started again in the place of one that did does not know yet.
    ///
    /// # Errors
    /// Why it does not say.
    pub async fn leads(&mut self) -> Result<bool, String> {
        let request = Request::get(LEADS).header(header::HOST, &self.address).body(body::full(Vec::new()));
        let request = request.map_err(|error| error.to_string())?;
        let answered = tokio::time::timeout(PATIENCE, async {
            let response = self.sender.send_request(request).await?;
            let status = response.status();
            // The connection is free for the next request once all of it was read.
            response.into_body().collect().await?;
            self.sender.ready().await?;
            Ok::<_, hyper::Error>(status.is_success())
        });
        answered.await.map_err(|_| "it does not answer".to_owned())?.map_err(|error| error.to_string())
    }

    /// Hands a request on; its URI is that of the other gateway.
    ///
    /// # Errors
    /// Why no answer came. The other replica may have done what was asked for.
    pub async fn send(mut self, mut request: Request<Body>) -> Result<Response<Body>, String> {
        let headers = request.headers_mut();
        HOP.iter().for_each(|name| drop(headers.remove(name)));
        headers.insert(FORWARDED, HeaderValue::from_static("1"));
        let host = HeaderValue::from_str(&self.address).map_err(|error| error.to_string())?;
        headers.insert(header::HOST, host);
        let mut response = self.sender.send_request(request).await.map_err(|error| error.to_string())?;
        HOP.iter().for_each(|name| drop(response.headers_mut().remove(name)));
        Ok(response.map(body::boxed))
    }
}
