"""How the shipped weights were made: render people, randomise their pictures, fit the network, judge it."""
