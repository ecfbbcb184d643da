//! Pages of proxied programs, with their links led through this server while they pass.

use std::{
    io::{self, Write},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::Frame;
use lol_html::{MemorySettings, element, send};

use super::body::{Body, BodyError};
use crate::core::link::{self, Inside};

/// What of a page is kept to read it: a tag is no longer.
const KEPT_BYTES: usize = 1 << 20;

/// Leads the links of an answer through the proxy where it is a page: its `Location` and what stands in its HTML.
///
/// An answer that is compressed otherwise than by gzip passes as it is, as upstream.
pub fn led(mut response: Response<Body>, inside: Inside) -> Response<Body> {
    let headers = response.headers_mut();
    let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    if let Some(value) = location.and_then(|link| inside.link(link)).and_then(|led| HeaderValue::from_str(&led).ok()) {
        headers.insert(header::LOCATION, value);
    }
    let Some(is_compressed) = page(headers) else { return response };
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::CONTENT_ENCODING);
    // What it was a digest of has changed.
    headers.remove(header::ETAG);
    response.map(|body| Body::new(Page { body, rewriting: Some(Rewriting::new(inside, is_compressed)) }))
}

/// Whether an answer is a page that can be read, and then whether it is compressed.
fn page(headers: &HeaderMap) -> Option<bool> {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?")).unwrap_or_default();
    let kind = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("text/html") || headers.contains_key(header::CONTENT_RANGE) {
        return None;
    }
    match text(header::CONTENT_ENCODING) {
        "" | "identity" => Some(false),
        "gzip" => Some(true),
        _ => None,
    }
}

/// What has been rewritten and not been sent.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl lol_html::OutputSink for Written {
    fn handle_chunk(&mut self, chunk: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(chunk);
    }
}

struct Rewriter(send::HtmlRewriter<'static, Written>);

impl Rewriter {
    fn new(inside: Inside, to: Written) -> Self {
        let lead = element!("*", move |element: &mut send::Element<'_, '_>| {
            for name in link::attributes(&element.tag_name()) {
                let led = element.get_attribute(name).and_then(|value| inside.link(&value));
                if let Some(led) = led {
                    element.set_attribute(name, &led)?;
                }
            }
            Ok(())
        });
        let settings = send::Settings::new_send()
            .append_element_content_handler(lead)
            .with_memory_settings(MemorySettings::new().with_max_allowed_memory_usage(KEPT_BYTES))
            // Pages as they are, and not as they should be.
            .with_strict(false);
        Self(send::HtmlRewriter::new(settings, to))
    }
}

impl Write for Rewriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Input {
    Plain(Box<Rewriter>),
    Compressed(Box<MultiGzDecoder<Box<Rewriter>>>),
}

struct Rewriting {
    input: Input,
    written: Written,
}

impl Rewriting {
    fn new(inside: Inside, is_compressed: bool) -> Self {
        let written = Written::default();
        let rewriter = Box::new(Rewriter::new(inside, written.clone()));
        let input = if is_compressed {
            Input::Compressed(Box::new(MultiGzDecoder::new(rewriter)))
        } else {
            Input::Plain(rewriter)
        };
        Self { input, written }
    }

    fn push(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match &mut self.input {
            Input::Plain(rewriter) => rewriter.write_all(bytes)?,
            Input::Compressed(decoder) => decoder.write_all(bytes)?,
        }
        Ok(self.written.take())
    }

    fn end(self) -> io::Result<Vec<u8>> {
        let rewriter = match self.input {
            Input::Plain(rewriter) => rewriter,
            Input::Compressed(decoder) => decoder.finish()?,
        };
        rewriter.0.end().map_err(io::Error::other)?;
        Ok(self.written.take())
    }
}

/// A body that is rewritten frame by frame.
struct Page {
    body: Body,
    /// `None` at the end.
    rewriting: Option<Rewriting>,
}

impl http_body::Body for Page {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let page = self.get_mut();
        loop {
            let Some(rewriting) = &mut page.rewriting else { return Poll::Ready(None) };
            let result = match std::task::ready!(Pin::new(&mut page.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => rewriting.push(&data),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => page.rewriting.take().map_or(Ok(Vec::new()), Rewriting::end),
            };
            match result {
                // A part of a tag, whose rest comes.
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes.into())))),
                Err(error) => {
                    page.rewriting = None;
                    return Poll::Ready(Some(Err(BodyError(error.into()))));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    const PAGE: &str = r#"<!doctype html><html><head><link rel=stylesheet href="/app.css"></head>
<body><a href='/x?a=1&amp;b=2'>x</a><a href="y">y</a><a href="https://elsewhere/z">z</a><p>/x</p>
<img src=/logo.png><script>let a = "<a href='/no'>";</script><form action="/send"></form></body></html>"#;
    const LED: &str = r#"<!doctype html><html><head><link rel=stylesheet href="/p/proxy/app.css"></head>
<body><a href="/p/proxy/x?a=1&amp;b=2">x</a><a href="y">y</a><a href="https://elsewhere/z">z</a><p>/x</p>
<img src="/p/proxy/logo.png"><script>let a = "<a href='/no'>";</script><form action="/p/proxy/send"></form></body></html>"#;

    fn inside() -> Inside {
        Inside { before: "/p/proxy".to_owned(), told: "localhost".to_owned(), asked: "here".to_owned() }
    }

    fn answer(bytes: &[u8], part: usize, headers: &[(&'static str, &'static str)]) -> Response<Body> {
        let frames: Vec<_> = bytes.chunks(part).map(|part| Ok(Frame::data(Bytes::copy_from_slice(part)))).collect();
        let mut response = Response::new(Body::new(StreamBody::new(stream::iter(frames))));
        for (name, value) in headers {
            response.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        response
    }

    async fn text(response: Response<Body>) -> String {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn links_of_a_page_are_led_through_the_proxy_however_it_is_cut() {
        for part in [1, 7, 4_096] {
            let headers = [("content-type", "text/html; charset=utf-8"), ("content-length", "320")];
            let response = led(answer(PAGE.as_bytes(), part, &headers), inside());
            assert!(!response.headers().contains_key("content-length"));
            assert_eq!(text(response).await, LED);
        }
    }

    #[tokio::test]
    async fn a_compressed_page_is_read_and_sent_plain() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(PAGE.as_bytes()).unwrap();
        let bytes = encoder.finish().unwrap();
        let headers = [("content-type", "text/html"), ("content-encoding", "gzip")];
        let response = led(answer(&bytes, 11, &headers), inside());
        assert!(!response.headers().contains_key("content-encoding"));
        assert_eq!(text(response).await, LED);
    }

    #[tokio::test]
    async fn what_is_no_page_passes_as_it_is() {
        for headers in [
            vec![("content-type", "application/json")],
            vec![],
            vec![("content-type", "text/html"), ("content-encoding", "br")],
            vec![("content-type", "text/html"), ("content-range", "bytes 0-9/20")],
        ] {
            let response = led(answer(PAGE.as_bytes(), 4_096, &headers), inside());
            assert_eq!(response.headers().len(), headers.len());
            assert_eq!(text(response).await, PAGE);
        }
    }

    #[tokio::test]
    async fn a_page_that_cannot_be_read_breaks_off() {
        let headers = [("content-type", "text/html"), ("content-encoding", "gzip")];
        let response = led(answer(PAGE.as_bytes(), 4_096, &headers), inside());
        assert!(response.into_body().collect().await.is_err());
        let tag = format!("<a title=\"{}", "x".repeat(2 * KEPT_BYTES));
        let response = led(answer(tag.as_bytes(), 65_536, &headers[..1]), inside());
        assert!(response.into_body().collect().await.is_err());
    }

    #[test]
    fn redirections_stay_inside_of_the_proxy() {
        let rows = [
            ("/login?x=1", "/p/proxy/login?x=1"),
            ("http://localhost/login", "/p/proxy/login"),
            ("login", "login"),
            ("//elsewhere/x", "//elsewhere/x"),
            ("https://elsewhere/x", "https://elsewhere/x"),
        ];
        for (location, expected) in rows {
            let response = led(answer(b"", 1, &[("location", location)]), inside());
            assert_eq!(response.headers()[header::LOCATION], expected);
        }
    }
}
