"""The kill campaign: does an event get lost when relay, masters and lines fail at random?"""
