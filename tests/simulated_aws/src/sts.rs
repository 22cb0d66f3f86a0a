//! STS: <https://docs.aws.amazon.com/STS/latest/APIReference/>. It answers in XML.

use crate::request::{Request, ServiceError};

pub(crate) fn answer(request: &Request) -> Result<String, ServiceError> {
    match request.action.as_str() {
        "GetCallerIdentity" => Ok(format!(
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
             <Arn>arn:aws:sts::{0}:assumed-role/ecr-cleanup/run</Arn><UserId>AROASIM:run</UserId><Account>{0}</Account>\
             </GetCallerIdentityResult></GetCallerIdentityResponse>",
            request.account
        )),
        action => Err(ServiceError::new(400, "InvalidAction", action)),
    }
}

pub(crate) fn error(error: &ServiceError) -> String {
    let ServiceError { code, message, .. } = error;
    format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    )
}
