//! STS: <https://docs.aws.amazon.com/STS/latest/APIReference/>. It answers in XML.

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::access_key_of;
use crate::request::{Request, ServiceError};
use crate::world::World;

/// The caller's ARN.
pub(crate) fn caller(set: Option<&str>, request: &Request) -> String {
    set.map_or_else(|| format!("arn:aws:sts::{}:assumed-role/ecr-cleanup/run", request.account), str::to_owned)
}

pub(crate) fn answer(world: &World, request: &Request, now: SystemTime) -> Result<String, ServiceError> {
    match request.action.as_str() {
        "GetCallerIdentity" => Ok(format!(
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
             <Arn>{}</Arn><UserId>AROASIM:run</UserId><Account>{}</Account>\
             </GetCallerIdentityResult></GetCallerIdentityResponse>",
            caller(world.caller.as_deref(), request),
            request.account
        )),
        "AssumeRole" => assume_role(world, request, now),
        action => Err(ServiceError::new(400, "InvalidAction", action)),
    }
}

fn assume_role(world: &World, request: &Request, now: SystemTime) -> Result<String, ServiceError> {
    let role = request.text("RoleArn", "ValidationError")?;
    let session = request.text("RoleSessionName", "ValidationError")?;
    let is_trusted = world.external_ids.get(role).is_none_or(|id| request.body["ExternalId"] == id.as_str());
    let lifetime = world.roles.get(role).filter(|_| is_trusted).ok_or_else(|| {
        let message = format!(
            "User: account {} is not authorized to perform: sts:AssumeRole on resource: {role}",
            request.account
        );
        ServiceError::new(403, "AccessDenied", &message)
    })?;
    let account = role.split(':').nth(4).unwrap_or_default();
    Ok(format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
         <AccessKeyId>{}</AccessKeyId><SecretAccessKey>simulated-role-secret</SecretAccessKey>\
         <SessionToken>simulated-role-token</SessionToken><Expiration>{}</Expiration></Credentials>\
         <AssumedRoleUser><AssumedRoleId>AROASIM:{session}</AssumedRoleId><Arn>{role}/{session}</Arn></AssumedRoleUser>\
         </AssumeRoleResult></AssumeRoleResponse>",
        access_key_of(account),
        DateTime::<Utc>::from(now + *lifetime).to_rfc3339_opts(SecondsFormat::Secs, true),
    ))
}

pub(crate) fn error(error: &ServiceError) -> String {
    let ServiceError { code, message, .. } = error;
    format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    )
}
