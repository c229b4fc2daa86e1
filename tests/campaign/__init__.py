"""The campaign: a real gateway among real neighbours, hurt in every way, and a checker that believes none of them.

``python -m tests.campaign --help`` lists the parts; docs/campaign.md says what each proves.
"""
