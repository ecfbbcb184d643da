//! Refusals, as `google.rpc.Status` with the HTTP status that belongs to its code.

use ferroflow_platform::{access, http::body, records, sql};
use http::StatusCode;
use serde_json::{Value, json};

use crate::core::fault::Fault;

/// A code of `google.rpc.Code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    InvalidArgument,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    FailedPrecondition,
    Aborted,
    Unimplemented,
    Internal,
    Unavailable,
    Unauthenticated,
    /// `ResourceExhausted`
    TooMuch,
}

impl Code {
    /// Its number on the wire.
    pub fn number(self) -> u8 {
        match self {
            Self::InvalidArgument => 3,
            Self::NotFound => 5,
            Self::AlreadyExists => 6,
            Self::PermissionDenied => 7,
            Self::TooMuch => 8,
            Self::FailedPrecondition => 9,
            Self::Aborted => 10,
            Self::Unimplemented => 12,
            Self::Internal => 13,
            Self::Unavailable => 14,
            Self::Unauthenticated => 16,
        }
    }

    /// The HTTP status that goes with it, as grpc-gateway has it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidArgument | Self::FailedPrecondition => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::AlreadyExists | Self::Aborted => StatusCode::CONFLICT,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::TooMuch => StatusCode::TOO_MANY_REQUESTS,
            Self::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    pub message: String,
}

/// What a handler ends with.
pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// A refusal.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// 400, code 3.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// 404, code 5: `kind` as `Run`.
    pub fn missing(kind: &str, id: &str) -> Self {
        Self::new(Code::NotFound, format!("{kind} {id} not found; list what there is, or check the id"))
    }

    /// The body.
    pub fn body(&self) -> Value {
        let code = self.code.number();
        json!({
            "code": code,
            "message": self.message,
            "details": [{"@type": "type.googleapis.com/google.rpc.Status", "code": code, "message": self.message}],
        })
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::invalid(fault.to_string())
    }
}

/// Whose fault it is that records cannot be read or written: the client's, the moment's, or ours.
pub fn code(error: &records::Error) -> Code {
    match error {
        records::Error::Nul { .. } => Code::InvalidArgument,
        records::Error::Sql(sql::Error::Full)
        | records::Error::Away { .. }
        | records::Error::InDoubt(_)
        | records::Error::Fenced { .. } => Code::Unavailable,
        _ => Code::Internal,
    }
}

impl From<records::Error> for Failure {
    fn from(error: records::Error) -> Self {
        let code = code(&error);
        match code {
            Code::InvalidArgument | Code::Unavailable => Self::new(code, error.to_string()),
            code => {
                tracing::error!(%error, "records");
                Self::new(code, format!("the record store failed: {error}; the server's log says more"))
            }
        }
    }
}

impl From<access::Error> for Failure {
    fn from(error: access::Error) -> Self {
        tracing::warn!(error = %error.0, "a right could not be reviewed");
        Self::new(Code::Unavailable, error.to_string())
    }
}

impl From<body::ReadError> for Failure {
    fn from(error: body::ReadError) -> Self {
        Self::invalid(error.to_string())
    }
}
