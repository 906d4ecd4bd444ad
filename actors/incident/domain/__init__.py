"""What the Incident sage decides. No I/O and no clock: what is needed comes in, decisions go out.

``lifecycle``  the response steps and their guards; ``editing`` makes and changes by hand
``intake``     a notification of alerts: what in it is new, and where each alert belongs;
             ``folder`` is what that means for one incident, ``naming`` what it is called
``review``     the post-incident review: draft, edit, publish; ``report`` is its Markdown
``escalation`` what happens to an incident that nobody acknowledges
``dossier``    what the guild already knew about an incident
``timeline``   the log as people read it
``paging``     cursors of lists
"""
