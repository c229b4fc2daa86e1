"""The four services: accept (a mail becomes jobs), outbound (a job becomes a fax), inbound (a received fax becomes
mails), postman (mails leave). Each owns one state machine; they hand over through rows and a wake-up that may be lost.
"""
