//! Plans that dry runs saved in memory. Each may be carried out once.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Damaged, MemoryLocation, format};
use crate::run_id::RunId;

/// The begin of the keys of plans.
const PLANS: &str = "plans/";
/// The end of the key of a plan.
const ENDING: &str = ".json.gz";

/// A saved plan in a memory, by the id of the run that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanLocation {
    /// The memory.
    pub memory: MemoryLocation,
    /// The run that made the plan.
    pub id: RunId,
}

/// The run that carried out a plan, or began to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CarriedOut {
    /// Its id.
    pub run_id: RunId,
    /// When it began to delete.
    pub at: DateTime<Utc>,
}

/// Text that is not the location of a plan in a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected s3://bucket/prefix/plans/ and the id of a run")]
pub struct NotAPlanLocation;

impl PlanLocation {
    /// The object with the plan, in the form that `delete PLAN` reads.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{PLANS}{}{ENDING}", self.id)
    }

    /// The object that exists as soon as a run carries the plan out.
    #[must_use]
    pub fn key_of_carried_out(&self) -> String {
        format!("{PLANS}{}.carried-out{ENDING}", self.id)
    }
}

impl CarriedOut {
    /// The bytes of its object.
    ///
    /// # Errors
    /// None that its own values could cause.
    pub fn write(&self) -> std::io::Result<Vec<u8>> {
        format::pack(&serde_json::to_vec(self)?)
    }

    /// Reads the bytes of its object.
    ///
    /// # Errors
    /// When they are damaged.
    pub fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        serde_json::from_slice(&format::unpack(bytes)?).map_err(|error| Damaged::NotJson(error.to_string()))
    }
}

impl fmt::Display for CarriedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run_id, at } = self;
        let at = at.format("%Y-%m-%d %H:%M UTC");
        write!(f, "run {run_id} carried this plan out on {at}. A plan can be carried out only once. Make a new plan")
    }
}

impl FromStr for PlanLocation {
    type Err = NotAPlanLocation;

    /// Reads `s3://bucket/prefix/plans/RUN_ID` or `folder/plans/RUN_ID`, with or without the ending of the object.
    fn from_str(text: &str) -> Result<Self, NotAPlanLocation> {
        let (folder, name) = text.rsplit_once('/').ok_or(NotAPlanLocation)?;
        let memory = folder.strip_suffix(PLANS.trim_end_matches('/')).and_then(|memory| memory.strip_suffix('/'));
        let id = name.strip_suffix(ENDING).unwrap_or(name).parse().map_err(|_| NotAPlanLocation)?;
        let memory = memory.and_then(|memory| memory.parse().ok()).ok_or(NotAPlanLocation)?;
        Ok(Self { memory, id })
    }
}

impl fmt::Display for PlanLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{PLANS}{}", self.memory, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "2026-01-01T00-00-00Z-1a2b";

    #[test]
    fn a_plan_is_named_by_its_memory_and_its_run() {
        for memory in ["s3://my-bucket", "s3://my-bucket/team/ecr-cleanup", "/var/lib/memory", "memory"] {
            let text = format!("{memory}/plans/{ID}");
            let location: PlanLocation = text.parse().unwrap();
            assert_eq!((location.memory.to_string(), location.id.as_str()), (memory.to_owned(), ID));
            assert_eq!(location.to_string(), text);
            assert_eq!(format!("{text}.json.gz").parse(), Ok(location.clone()));
            assert_eq!(format!("{memory}/{}", location.key()).parse(), Ok(location));
        }
        for text in [
            "",
            "plan.json",
            ID,
            &format!("plans/{ID}"),
            &format!("s3://my-bucket/{ID}"),
            &format!("s3://my-bucket/xplans/{ID}"),
            &format!("s3://my-bucket/plans/{ID}.json"),
            &format!("s3://my-bucket/plans/{ID}.carried-out.json.gz"),
            &format!("s3://B/plans/{ID}"),
            "s3://my-bucket/plans/",
        ] {
            assert_eq!(text.parse::<PlanLocation>(), Err(NotAPlanLocation), "{text}");
        }
    }

    #[test]
    fn who_carried_a_plan_out_is_read_back() {
        let done = CarriedOut { run_id: ID.parse().unwrap(), at: DateTime::from_timestamp(1_767_225_600, 0).unwrap() };
        let bytes = done.write().unwrap();
        assert_eq!(CarriedOut::read(&bytes), Ok(done));
        assert!((0..bytes.len()).all(|length| CarriedOut::read(&bytes[..length]).is_err()));
    }
}
