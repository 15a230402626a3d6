"""Recorded runs as exams: somebody's live agent takes the place of one recorded agent, everybody else is played from
the record, and what the agent says is judged by the rules and not by being the same."""
