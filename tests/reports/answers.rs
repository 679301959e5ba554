//! Answers that reach their caller: refusals while a body is still being sent, headers of servers.
