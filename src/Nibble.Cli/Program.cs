Console.WriteLine("nibble");
