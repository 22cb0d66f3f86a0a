//! The HTTP server of a simulated account, and what a test changes and asks about the account.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::calls::Call;
use crate::clock::Clock;
use crate::fault::Fault;
use crate::memory::Memory;
use crate::quota::Quota;
use crate::repository::Repository;
use crate::respond::respond;
use crate::start_error::StartError;
use crate::world::{Cluster, Place, Shared};
use crate::{ACCOUNT, REGION};

/// The endpoint of an account in memory. Requests to it never leave the process.
const URL_IN_MEMORY: &str = "http://aws.simulated";
/// The latency of an account in memory. It makes concurrent calls overlap, as on the wire. If a test pauses the clock, it
/// costs no real time.
const LATENCY_IN_MEMORY: Duration = Duration::from_millis(1);

/// A simulated AWS account on loopback or in memory. It ends when it is dropped.
pub struct SimulatedAws {
    world: Shared,
    url: String,
    /// The server on loopback; `None` in memory.
    server: Option<JoinHandle<()>>,
}

impl SimulatedAws {
    /// Starts an empty account on any free port of loopback. One region is enabled in it.
    pub async fn start() -> Self {
        Self::start_on(0).await.expect("a port on loopback")
    }

    /// The same on this port. With 0, the operating system chooses a free port.
    ///
    /// # Errors
    /// When another program uses the port, or this user may not listen on it.
    pub async fn start_on(port: u16) -> Result<Self, StartError> {
        let failed = |cause| StartError::new(port, cause);
        let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(failed)?;
        let url = format!("http://{}", listener.local_addr().map_err(failed)?);
        let mut aws = Self::without_a_wire(Clock::OfTheMachine);
        aws.url = url;
        aws.server = Some(tokio::spawn(serve(listener, aws.world.clone())));
        Ok(aws)
    }

    /// Starts an account in memory. The SDK calls it through [`Self::http_client`]. Its clock is the runtime's, which a test
    /// may pause.
    #[must_use]
    pub fn in_memory() -> Self {
        let aws = Self::without_a_wire(Clock::of_the_runtime());
        aws.set_latency(LATENCY_IN_MEMORY);
        aws
    }

    fn without_a_wire(clock: Clock) -> Self {
        let world = Shared::new(clock);
        world.lock().region_statuses.insert(REGION.to_owned(), "ENABLED_BY_DEFAULT");
        Self { world, url: URL_IN_MEMORY.to_owned(), server: None }
    }

    /// Whether it listens on loopback.
    #[must_use]
    pub fn is_on_the_wire(&self) -> bool {
        self.server.is_some()
    }

    /// The HTTP client with which the SDK calls an account in memory.
    #[must_use]
    pub fn http_client(&self) -> SharedHttpClient {
        SharedHttpClient::new(Memory(self.world.clone()))
    }

    /// The clock of this account, for clients that must have the same time.
    #[must_use]
    pub fn time_source(&self) -> SharedTimeSource {
        SharedTimeSource::new(self.world.clock)
    }

    /// The time of this account.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.world.clock.now()
    }

    /// The value for `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A Region of an account.
    #[must_use]
    pub fn place(&self, account: &str, region: &str) -> Place {
        Place { world: self.world.clone(), account: account.to_owned(), region: region.to_owned() }
    }

    /// A Region of the default account. The account opts in to it.
    #[must_use]
    pub fn region(&self, region: &str) -> Place {
        self.world.lock().region_statuses.entry(region.to_owned()).or_insert("ENABLED");
        self.place(ACCOUNT, region)
    }

    /// Disables a Region. AWS rejects every call there.
    pub fn disable_region(&self, region: &str) {
        self.world.lock().region_statuses.insert(region.to_owned(), "DISABLED");
    }

    /// Creates a role that every caller may assume, and returns its ARN. Its credentials last one hour.
    pub fn role(&self, account: &str) -> String {
        self.role_for(account, Duration::from_hours(1))
    }

    /// The same with another lifetime of the credentials.
    pub fn role_for(&self, account: &str, lifetime: Duration) -> String {
        let arn = format!("arn:aws:iam::{account}:role/ecr-cleanup-usage");
        self.world.lock().roles.insert(arn.clone(), lifetime);
        arn
    }

    /// Sets the caller's ARN in `GetCallerIdentity`. Default: a session of the role `ecr-cleanup`.
    pub fn set_caller(&self, arn: &str) {
        self.world.lock().caller = Some(arn.to_owned());
    }

    /// Makes a role require an external id.
    pub fn ask_for_external_id(&self, role: &str, external_id: &str) {
        self.world.lock().external_ids.insert(role.to_owned(), external_id.to_owned());
    }

    /// A repository in the default account and Region.
    #[must_use]
    pub fn repository(&self, name: &str) -> Repository {
        self.place(ACCOUNT, REGION).repository(name)
    }

    /// A cluster in the default account and Region.
    #[must_use]
    pub fn cluster(&self, name: &str) -> Cluster {
        self.place(ACCOUNT, REGION).cluster(name)
    }

    /// Adds a fault.
    pub fn inject(&self, fault: Fault) {
        self.world.lock().faults.push(fault);
    }

    /// Sets a quota that these operations share, in each Region of each account. `burst` is the size of its token bucket,
    /// `per_second` the refill rate in calls per second. AWS throttles calls beyond it.
    pub fn set_quota(&self, operations: &[&str], burst: u32, per_second: u32) {
        self.world.lock().quotas.push(Quota::new(operations, burst, per_second));
    }

    /// Runs `happens` before every answer.
    pub fn before_every_call(&self, happens: impl FnMut(&Call) + Send + 'static) {
        self.world.lock().before_every_call = Some(Arc::new(Mutex::new(happens)));
    }

    /// Removes all faults.
    pub fn heal(&self) {
        self.world.lock().faults.clear();
    }

    /// Sets the latency of every answer.
    pub fn set_latency(&self, latency: Duration) {
        self.set_latency_of(move |_| latency);
    }

    /// Sets the latency of each answer by its call.
    pub fn set_latency_of(&self, latency: impl Fn(&Call) -> Duration + Send + Sync + 'static) {
        self.world.lock().latency = Some(Arc::new(latency));
    }

    /// Accepts answers that the models don't allow, if the deviation contains this text. Thus a test can be newer than the
    /// models.
    pub fn is_newer_than_its_models(&self, in_what: &str) {
        self.world.lock().accepted.push(in_what.to_owned());
    }

    /// Notes the variations of each answer in [`Call::variations`].
    pub fn note_variations(&self) {
        self.world.lock().notes_variations = true;
    }

    /// Makes every answer lack its `Date`.
    pub fn leave_dates_out(&self) {
        self.world.lock().dateless = true;
    }

    /// All calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.world.lock().calls.made.clone()
    }

    /// All calls of one operation so far.
    #[must_use]
    pub fn calls_of(&self, operation: &str) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| call.operation == operation);
        calls
    }

    /// Forgets all calls so far.
    pub fn forget_calls(&self) {
        self.world.lock().calls = crate::calls::Calls::default();
    }

    /// The highest number of concurrent calls of an operation in one Region of one account.
    #[must_use]
    pub fn peak_concurrency(&self, operation: &str) -> usize {
        self.world.lock().calls.peak(operation)
    }
}

impl Drop for SimulatedAws {
    fn drop(&mut self) {
        self.server.iter().for_each(JoinHandle::abort);
        let complaints = std::mem::take(&mut self.world.lock().complaints);
        // If the test has failed already, its own message is the important one.
        assert!(complaints.is_empty() || std::thread::panicking(), "AWS would not do this: {}", complaints.join("; "));
    }
}

async fn serve(listener: TcpListener, world: Shared) {
    while let Ok((stream, _)) = listener.accept().await {
        _ = stream.set_nodelay(true);
        let world = world.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| respond(request, &world));
            // A client may close its connection at any time. That is no error of the server.
            let connection =
                http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), service);
            _ = connection.await;
        });
    }
}
