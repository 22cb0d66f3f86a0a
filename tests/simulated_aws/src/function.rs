//! The Lambda Runtime API, and the function's real binary running against it.
//!
//! See <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::{ACCOUNT, REGION, access_key_of};

/// A running function: its process, and the runtime API that sends it events.
pub struct Function {
    process: Child,
    runtime_api: JoinHandle<()>,
    output: JoinHandle<String>,
    events: mpsc::UnboundedSender<Invocation>,
}

/// The error document of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionError {
    /// Lambda's `errorType`.
    pub error_type: String,
    /// Lambda's `errorMessage`.
    pub error_message: String,
}

struct Invocation {
    payload: String,
    deadline_ms: u128,
    answer: oneshot::Sender<Result<Value, FunctionError>>,
}

#[derive(Default)]
struct UnderWay(Mutex<BTreeMap<String, oneshot::Sender<Result<Value, FunctionError>>>>);

impl Function {
    /// Starts the binary. It calls this endpoint instead of AWS, and has these environment variables besides Lambda's own.
    pub async fn start(binary: &Path, endpoint_url: &str, environment: &[(&str, &str)]) -> Self {
        let started = Self::try_start(binary, endpoint_url, environment).await;
        started.unwrap_or_else(|error| panic!("{} does not start: {error}", binary.display()))
    }

    /// The same, for a caller that reports the error.
    ///
    /// # Errors
    /// When no port of loopback is free, or the operating system can't run the binary.
    pub async fn try_start(binary: &Path, endpoint_url: &str, environment: &[(&str, &str)]) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        let (events, queue) = mpsc::unbounded_channel();
        let runtime_api = tokio::spawn(serve(listener, Arc::new(AsyncMutex::new(queue))));
        let mut process = Command::new(binary)
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
                ("AWS_LAMBDA_FUNCTION_NAME", "ecr-cleanup"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
                ("AWS_LAMBDA_LOG_STREAM_NAME", "simulated"),
                ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/ecr-cleanup"),
                ("AWS_ENDPOINT_URL", endpoint_url),
                ("AWS_REGION", REGION),
                ("AWS_ACCESS_KEY_ID", access_key_of(ACCOUNT).as_str()),
                ("AWS_SECRET_ACCESS_KEY", "simulated-secret-key"),
                ("AWS_SESSION_TOKEN", "simulated-session-token"),
                ("AWS_EC2_METADATA_DISABLED", "true"),
            ])
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()?;
        let mut stdout = process.stdout.take().expect("stdout is piped");
        let output = tokio::spawn(async move {
            let mut text = String::new();
            stdout.read_to_string(&mut text).await.expect("the log of the function is UTF-8");
            text
        });
        Ok(Self { process, runtime_api, output, events })
    }

    /// Invokes the function with Lambda's longest timeout, 15 minutes.
    ///
    /// # Errors
    /// The error document that the function returns.
    pub async fn invoke(&self, payload: &Value) -> Result<Value, FunctionError> {
        self.invoke_within(payload, Duration::from_mins(15)).await
    }

    /// Invokes the function with this timeout.
    ///
    /// # Errors
    /// The error document that the function returns.
    pub async fn invoke_within(&self, payload: &Value, timeout: Duration) -> Result<Value, FunctionError> {
        self.send(payload.to_string(), timeout).await
    }

    /// Invokes the function with this text as the event, even if it is not JSON.
    ///
    /// # Errors
    /// The error document that the function returns.
    pub async fn invoke_text(&self, payload: &str) -> Result<Value, FunctionError> {
        self.send(payload.to_owned(), Duration::from_mins(15)).await
    }

    async fn send(&self, payload: String, timeout: Duration) -> Result<Value, FunctionError> {
        let (answer, answered) = oneshot::channel();
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + timeout;
        let invocation = Invocation { payload, deadline_ms: deadline.as_millis(), answer };
        self.events.send(invocation).expect("the runtime API runs");
        answered.await.expect("the function answers")
    }

    /// The id of its process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id().expect("the process runs")
    }

    /// Ends the process, and returns the lines of its log.
    pub async fn stop(mut self) -> Vec<String> {
        self.process.kill().await.expect("the process was running");
        let output = self.output.await.expect("the output of the process was read");
        self.runtime_api.abort();
        output.lines().map(str::to_owned).collect()
    }
}

type Queue = Arc<AsyncMutex<mpsc::UnboundedReceiver<Invocation>>>;

async fn serve(listener: TcpListener, queue: Queue) {
    let under_way = Arc::new(UnderWay::default());
    while let Ok((stream, _)) = listener.accept().await {
        let (queue, under_way) = (Arc::clone(&queue), Arc::clone(&under_way));
        tokio::spawn(async move {
            let service = service_fn(|request| respond(request, &queue, &under_way));
            _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn respond(
    request: Request<Incoming>,
    queue: &Queue,
    under_way: &UnderWay,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let path = parts.uri.path().trim_start_matches("/2018-06-01/runtime/");
    Ok(match path.split('/').collect::<Vec<_>>()[..] {
        ["invocation", "next"] => next(queue, under_way).await,
        ["invocation", id, "response"] => {
            under_way.answer(id, Ok(serde_json::from_slice(&body).unwrap_or_default()));
            status(202)
        }
        ["invocation", id, "error"] => {
            let document: Value = serde_json::from_slice(&body).unwrap_or_default();
            let text = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
            under_way
                .answer(id, Err(FunctionError { error_type: text("errorType"), error_message: text("errorMessage") }));
            status(202)
        }
        _ => status(404),
    })
}

async fn next(queue: &Queue, under_way: &UnderWay) -> Response<Full<Bytes>> {
    let Some(Invocation { payload, deadline_ms, answer }) = queue.lock().await.recv().await else {
        return status(500);
    };
    let id = under_way.begin(answer);
    Response::builder()
        .header("lambda-runtime-aws-request-id", id)
        .header("lambda-runtime-deadline-ms", deadline_ms.to_string())
        .header(
            "lambda-runtime-invoked-function-arn",
            format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:ecr-cleanup"),
        )
        .body(Full::new(Bytes::from(payload)))
        .unwrap_or_default()
}

impl UnderWay {
    fn begin(&self, answer: oneshot::Sender<Result<Value, FunctionError>>) -> String {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = format!("00000000-0000-0000-0000-{:012x}", under_way.len());
        under_way.insert(id.clone(), answer);
        id
    }

    fn answer(&self, id: &str, answer: Result<Value, FunctionError>) {
        if let Some(waiting) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id) {
            _ = waiting.send(answer);
        }
    }
}

fn status(status: u16) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::default()).unwrap_or_default()
}
