//! [`Refusal`]: why an API call is refused, and the one place that says how it is answered.

use std::borrow::Cow;

use crate::{
    bbb::{answer::Failure, checksum::InForm},
    domain::{backend_error::BodyFault, denial::Denial},
    metrics::{Call, Outcome},
    proxy::answer::{Answer, outcome_of},
};

/// Why an API call is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// By a rule of the gateway's own.
    Denied(Denial),
    /// By a rule of BBB's, in its words.
    Failed(Failure),
    /// The checksum, which stood in the form, does not fit.
    Checksum(Failure, Box<InForm>),
    /// By the server, in its words; with the denial that it is counted as.
    ByServer { key: String, message: String, denial: Option<Denial> },
}

impl Refusal {
    /// Its stable key.
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Denied(denial) => denial.key(),
            Self::Failed(failure) | Self::Checksum(failure, _) => failure.key,
            Self::ByServer { key, .. } => key,
        }
    }

    /// The sentence that clients show.
    pub(super) fn message(&self) -> Cow<'_, str> {
        match self {
            Self::Denied(denial) => denial.message().into(),
            Self::Failed(failure) | Self::Checksum(failure, _) => (&*failure.message).into(),
            Self::ByServer { message, .. } => message.into(),
        }
    }

    /// The denial that it is counted as.
    pub(super) fn denial(&self) -> Option<Denial> {
        match self {
            Self::Denied(denial) => Some(*denial),
            Self::ByServer { denial, .. } => *denial,
            Self::Failed(_) | Self::Checksum(..) => None,
        }
    }

    /// Whether a checksum did not fit.
    pub(super) fn is_checksum(&self) -> bool {
        self.key() == Failure::CHECKSUM.key && self.denial().is_none()
    }

    /// The answer in the form of the call: JSON for text tracks, XML for all others.
    pub(super) fn answer(&self, call: Call) -> Answer {
        self.noted(Answer::failed(call, self.outcome(), self.key(), &self.message()))
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.denial().map_or(Outcome::Refused, outcome_of)
    }

    /// An answer with what the log and the metrics say of the refusal.
    pub(super) fn noted(&self, mut answer: Answer) -> Answer {
        answer.reason = Failure::known_key(self.key());
        match self.denial() {
            Some(denial) => answer.because(denial),
            None => answer,
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<BodyFault> for Refusal {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::Broken | BodyFault::Refused => Failure::BODY.into(),
            BodyFault::Slow => Failure::BODY_SLOW.into(),
            BodyFault::TooLarge => Denial::TooLarge.into(),
            BodyFault::NoRoom => Denial::Overloaded.into(),
        }
    }
}
