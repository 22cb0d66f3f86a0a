//! ECS services, task definitions, service deployments and service revisions.

/// A service to create.
#[derive(Clone, Debug, Default)]
pub struct Service {
    pub(crate) task_definition: Option<String>,
    pub(crate) desired_count: u32,
    pub(crate) status: ServiceStatus,
    pub(crate) deployments: Vec<(String, &'static str)>,
    pub(crate) task_sets: Vec<String>,
    pub(crate) current_revisions: Vec<String>,
    pub(crate) current_deployment: Option<String>,
    pub(crate) not_described: Option<String>,
}

/// The status of a service. ECS doesn't list a deleted service, but still describes it for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ServiceStatus {
    #[default]
    Active,
    Draining,
    Inactive,
}

/// A revision of a task definition.
pub(crate) struct TaskDefinition {
    pub(crate) images: Vec<String>,
    pub(crate) status: DefinitionStatus,
}

/// The status of a revision. ECS can't describe a deleted revision, and never uses its number again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DefinitionStatus {
    Active,
    Inactive,
    Deleted,
}

pub(crate) struct ServiceRevision {
    pub(crate) task_definition: String,
    pub(crate) images: Vec<(String, Option<String>)>,
}

pub(crate) struct ServiceDeployment {
    pub(crate) service: String,
    pub(crate) status: &'static str,
    pub(crate) sources: Vec<String>,
    pub(crate) target: String,
}

impl Service {
    /// Whether it uses this task definition, service revision or service deployment.
    pub(crate) fn is_made_of(&self, arn: &str) -> bool {
        let of_deployments = self.deployments.iter().map(|(definition, _)| definition);
        let named = of_deployments.chain(&self.task_sets).chain(&self.current_revisions);
        named.chain(&self.task_definition).chain(&self.current_deployment).any(|named| named == arn)
    }

    /// A service that runs one task of this task definition.
    #[must_use]
    pub fn of(task_definition: &str) -> Self {
        Self { task_definition: Some(task_definition.to_owned()), desired_count: 1, ..Self::default() }
    }

    /// A service with an external deployment controller. It has no task definition of its own.
    #[must_use]
    pub fn external() -> Self {
        Self::default()
    }

    /// Scales it to zero.
    #[must_use]
    pub fn at_zero(mut self) -> Self {
        self.desired_count = 0;
        self
    }

    /// Sets its status to DRAINING: ECS deletes it.
    #[must_use]
    pub fn draining(mut self) -> Self {
        self.status = ServiceStatus::Draining;
        self
    }

    /// Adds a deployment with its rollout state.
    #[must_use]
    pub fn deployment(mut self, task_definition: &str, rollout_state: &'static str) -> Self {
        self.deployments.push((task_definition.to_owned(), rollout_state));
        self
    }

    /// Adds a task set.
    #[must_use]
    pub fn task_set(mut self, task_definition: &str) -> Self {
        self.task_sets.push(task_definition.to_owned());
        self
    }

    /// Adds a current service revision.
    #[must_use]
    pub fn revision(mut self, arn: &str) -> Self {
        self.current_revisions.push(arn.to_owned());
        self
    }

    /// Sets its current service deployment.
    #[must_use]
    pub fn current_deployment(mut self, arn: &str) -> Self {
        self.current_deployment = Some(arn.to_owned());
        self
    }

    /// Makes `DescribeServices` fail for it, with this reason.
    #[must_use]
    pub fn not_described(mut self, reason: &str) -> Self {
        self.not_described = Some(reason.to_owned());
        self
    }
}
