"""What the Knowledge sage decides. Pure: no I/O, no clock, no Ray.

``entities``    an entity, its versions and its life cycle
``reviews``     what a published review becomes
``access``      who may read and change what
``categories``  the category tree
``quality``     the quality score
"""
