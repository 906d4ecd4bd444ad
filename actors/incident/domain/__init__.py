"""What the Incident sage decides. No I/O and no clock: what is needed comes in, decisions go out.

``lifecycle``  the response steps and their guards
``intake``     a notification of alerts: what it says that is new, and which incident it belongs to
``naming``     title, severity and labels of an incident, from its alerts
``review``     the post-incident review: draft, edit, publish, and its Markdown
``timeline``   the log as people read it
``paging``     cursors of lists
"""
